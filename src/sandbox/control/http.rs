//! The same verbs over plain HTTP: `POST /control/<verb>` with a JSON object, `GET /control` for the list,
//! `GET /requests` for the log.

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Control;
use super::verb::{VERBS, Verb};
use crate::sandbox::exchange::{Request, Response, Service};
use crate::sandbox::server;
use crate::sandbox::world::Cloud;

/// Serves until dropped.
pub(crate) async fn serve(listener: TcpListener, cloud: Cloud) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let cloud = cloud.clone();
                connections.spawn(server::connection(stream, move |request| {
                    let cloud = cloud.clone();
                    async move {
                        // The service matters to the log alone, which these requests never enter.
                        let request = server::collect(Service::Arm, request).await?;
                        Ok(server::wire(answer(&cloud, &request).await))
                    }
                }));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(cloud: &Cloud, request: &Request) -> Response {
    match (request.method.as_str(), request.route().as_slice()) {
        ("GET", ["control"]) => {
            let verbs: Vec<_> = VERBS
                .iter()
                .map(|(verb, body)| json!({"verb": verb, "body": body, "path": format!("/control/{verb}")}))
                .collect();
            Response::json(
                200,
                json!({"verbs": verbs, "addresses": cloud.with(|world| json!(world.addresses))}),
            )
        }
        ("GET", ["requests"]) => Response::json(200, cloud.with(|world| json!(world.log.entries()))),
        ("DELETE", ["requests"]) => {
            cloud.with(|world| world.log.forget());
            Response::json(200, json!({}))
        }
        ("POST", ["control", verb]) => match parse(request).and_then(|body| Verb::parse(verb, &body)) {
            Err(why) => Response::json(400, json!({"error": why})),
            Ok(verb) => match verb.run(&Control::new(cloud.clone())).await {
                Ok(value) => Response::json(200, value),
                Err(why) => Response::json(409, json!({"error": why.to_string()})),
            },
        },
        _ => Response::json(404, json!({"error": "see GET /control"})),
    }
}

fn parse(request: &Request) -> Result<Value, String> {
    if request.body.is_empty() {
        return Ok(json!({}));
    }
    request.json().map_err(|e| e.to_string())
}
