//! `cnamed sandbox`: the cloud alone, to rehearse against.

use super::args::SandboxArgs;
use super::exit::Exit;
use super::output::{Output, Tone};
use super::typed;
use crate::reconcile::round::VERSION;
use crate::sandbox::{Options, Sandbox};

pub(crate) async fn run(args: &SandboxArgs, output: &Output) -> Exit {
    let mut options = Options { gateway: true, speed: args.speed, ..Options::default() };
    if args.record.is_some() {
        options.record.clone_from(&args.record);
    }
    let sandbox = match Sandbox::start(options).await {
        Ok(sandbox) => sandbox,
        Err(error) => return output.failure(&format!("the sandbox could not start: {error}"), Exit::Failed),
    };
    if let Err(error) = std::fs::create_dir_all(&args.directory) {
        let text = format!("could not make {}: {error}", args.directory.display());
        return output.failure(&text, Exit::Failed);
    }
    let config = match sandbox.write_config(&args.directory) {
        Ok(config) => config,
        Err(error) => {
            let text = format!("could not write into {}: {error}", args.directory.display());
            return output.failure(&text, Exit::Failed);
        }
    };
    if output.is_json() {
        let addresses = sandbox.addresses();
        let _ =
            output.json(&serde_json::json!({ "version": VERSION, "config": config, "addresses": addresses }));
    } else {
        let config = config.display().to_string();
        let config = typed::word(&config);
        output.text(&format!(
            "{} on loopback, until you stop it with Ctrl-C.\n\n  export CNAMED_CONFIG={config}\n  cnamed plan\n  \
             cnamed sync --verify\n  cnamed status\n  cnamed threats\n\nPlay the outside world at {}/control\n",
            Tone::Good.paint("A whole cloud is up"),
            sandbox.addresses().control,
        ));
    }
    match tokio::signal::ctrl_c().await {
        Ok(()) => Exit::InSync,
        Err(error) => output.failure(&format!("could not wait for Ctrl-C: {error}"), Exit::Failed),
    }
}
