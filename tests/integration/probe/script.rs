//! Servers on loopback that greet by script, and a SOCKS5 proxy that does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// What happens on one connection.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// These bytes are sent, all at once.
    Send(Vec<u8>),
    /// This many bytes are read, and kept for [`Script::seen`].
    Read(usize),
    /// These bytes are sent over and over, with a pause between.
    Repeat(Vec<u8>, Duration),
    /// The connection ends. Without it, it stays open.
    Close,
    /// What comes from here goes there, and back: the proxy's part after its reply.
    Forward(SocketAddr),
}

/// A server, and what it was told.
pub(crate) struct Script {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
    /// How many connections have ended.
    ended: Arc<Mutex<usize>>,
    task: JoinHandle<()>,
}

impl Script {
    /// A server on IPv4 loopback that takes these steps on each connection.
    pub(crate) async fn play(steps: impl Into<Vec<Step>>) -> Self {
        Self::play_on("127.0.0.1:0", steps).await
    }

    /// The same, elsewhere.
    pub(crate) async fn play_on(address: &str, steps: impl Into<Vec<Step>>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, ended) = (Arc::default(), Arc::new(Mutex::new(0)));
        let (log, ends, steps) = (Arc::clone(&seen), Arc::clone(&ended), steps.into());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (steps, log, ends) = (steps.clone(), Arc::clone(&log), Arc::clone(&ends));
                tokio::spawn(async move {
                    // A client that hangs up in the middle is part of the play.
                    let _ = act(stream, &steps, &log).await;
                    *ends.lock().unwrap() += 1;
                });
            }
        });
        Self { address, seen, ended, task }
    }

    /// Everything that was read from clients.
    pub(crate) fn seen(&self) -> Vec<u8> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until a client has hung up.
    pub(crate) async fn ends(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while *self.ended.lock().unwrap() == 0 {
            assert!(tokio::time::Instant::now() < deadline, "the connection was not closed");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn act(mut stream: TcpStream, steps: &[Step], log: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    for step in steps {
        match step {
            Step::Send(bytes) => stream.write_all(bytes).await?,
            Step::Read(count) => {
                let mut bytes = vec![0; *count];
                stream.read_exact(&mut bytes).await?;
                log.lock().unwrap().extend(bytes);
            }
            Step::Repeat(bytes, pause) => loop {
                stream.write_all(bytes).await?;
                tokio::time::sleep(*pause).await;
            },
            Step::Close => return Ok(()),
            Step::Forward(address) => {
                let mut other = TcpStream::connect(address).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut other).await?;
            }
        }
    }
    // Whatever else the client says is kept, until it hangs up.
    let mut rest = [0; 256];
    loop {
        match stream.read(&mut rest).await? {
            0 => return Ok(()),
            count => log.lock().unwrap().extend(&rest[..count]),
        }
    }
}

/// A port that is taken and on which nobody listens, for as long as the socket is kept.
pub(crate) fn nobody() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap(), socket)
}
