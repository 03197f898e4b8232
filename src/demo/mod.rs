//! The embedded little world of `augenmass demo`: real protocol peers on loopback, the whole program
//! watching them, and a story in which a page fails and comes back.

pub mod peers;
mod stage;
mod story;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app::{App, BuildError, Options};
use crate::config::{Config, System};
use crate::ports::{Clock, SystemClock};
use stage::Stage;
use world::World;

/// How the demo is played.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// It ends by itself after so long; `None` to play until told to stop.
    pub length: Option<Duration>,
    /// Where the pages are; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Whether colours make sense.
    pub colour: bool,
}

/// Why the demo cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A peer or a file.
    #[error("cannot build the little world: {0}")]
    World(#[from] std::io::Error),
    /// A certificate.
    #[error("cannot build the little world: {0}")]
    Certificate(#[from] peers::CertificateError),
    /// Its configuration, which is ours.
    #[error("the demo's own configuration is wrong:\n{0}")]
    Config(#[from] crate::config::Problems),
    /// The program itself.
    #[error("{0}")]
    Build(#[from] BuildError),
}

/// Plays the demo. `true` when every expected message came (or when it was stopped before its
/// time without having had the chance).
///
/// # Errors
/// The world could not be built.
pub async fn play(
    settings: Settings,
    say: Arc<dyn Fn(&str) + Send + Sync>,
    stop: CancellationToken,
) -> Result<bool, DemoError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let (world, letters) = World::start(clock.wall()).await?;
    let config = Config::load(&world.config_file()?, &System)?;
    let listen = some_port(settings.listen)?;
    let (data, listen) = (Some(world.data()), Some(listen));
    let options = Options { data, listen, ..Options::default() };
    let app = App::build(config, options, clock.clone()).await?;
    let stage = Stage::new(clock.clone(), say, settings.colour);
    stage.open(&world, app.address(), settings.length);
    let view = app.view();
    let mut house = JoinSet::new();
    let order = CancellationToken::new();
    house.spawn(app.run(order.clone()));
    let all_came = story::play(&world, &view, &stage, letters, settings.length, &stop).await;
    order.cancel();
    while house.join_next().await.is_some() {}
    Ok(all_came)
}

/// A port for port 0: the links in the first messages need to know it before anybody listens.
fn some_port(listen: SocketAddr) -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind(listen)?.local_addr()
}
