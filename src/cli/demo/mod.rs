//! `limpet demo`: the story of sticky sessions on one machine, in one process.
//!
//! Owns: the command's options, what it prints, and the order in which things start and end. Never: a
//! shortcut into the balancer; the configuration goes through the ordinary loader, requests go over
//! TCP, and the edit goes through the same interface that the console uses. Tested in its parts and,
//! as a user runs it, by `tests/demo.rs`.

mod authority;
mod balancer;
mod client;
mod configuration;
mod data_plane;
mod guide;
mod instance;
mod instances;
mod mcp;
mod page;
mod sessions;
mod walkthrough;

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::thread;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use authority::{Authority, AuthorityError, Files};
use balancer::Balancer;
use client::Place;
use configuration::{Application, Configuration};
use guide::{Front, Guide};
use instances::{INSTANCE_IDS, Instances};
use mcp::walkthrough::Agents;
use walkthrough::Pages;

/// Port of the balancer where no address is given.
const PORT: u16 = 8080;

/// Port of the console where no address is given.
const CONSOLE_PORT: u16 = 9901;

/// First of the ports that stand for the instances where only the configuration is printed.
const EXAMPLE_PORT: u16 = 9001;

const HELP: &str = "\
Two instances keep their sessions in their own memory. Without stickiness, visits alternate between \
them and a session is lost at the next request; with it, a user stays with the instance that knows \
the session. The console edits the target group's Stickiness attribute; Enter in the terminal switches it as \
well. Ctrl-C ends the demo.

Examples:
  limpet demo
  limpet demo --sticky --access-log
  limpet demo --walkthrough
  limpet demo --tls
  limpet demo --mcp
  limpet demo --mcp --walkthrough
  limpet demo --print-config > limpet.toml";

/// Options of `limpet demo`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = HELP)]
pub struct Options {
    /// Where the balancer listens; port 0 takes a free one [default: 127.0.0.1:8080, with
    /// --walkthrough a free port]
    #[arg(long, value_name = "IP:PORT")]
    pub address: Option<SocketAddr>,

    /// Where the console is served; port 0 takes a free one [default: 127.0.0.1:9901, or a free port
    /// when that is taken]
    #[arg(long, value_name = "IP:PORT", conflicts_with = "walkthrough")]
    pub console: Option<SocketAddr>,

    /// Have two servers of the Model Context Protocol instead of pages: sessions by a field, not a
    /// cookie
    #[arg(long)]
    pub mcp: bool,

    /// Serve pages or the protocol over HTTPS, by a certificate of an authority that is made for this
    /// demo alone
    #[arg(long)]
    pub tls: bool,

    /// Start with stickiness on
    #[arg(long)]
    pub sticky: bool,

    /// Perform the story as an HTTP client, print every step with what it saw, and exit; the status
    /// is 1 when a step was not as told
    #[arg(long, conflicts_with_all = ["sticky", "print_config"])]
    pub walkthrough: bool,

    /// Print the balancer's configuration and exit (the instances' ports and the certificate's files are
    /// examples)
    #[arg(long)]
    pub print_config: bool,

    /// Print the access log, one line per request
    #[arg(long)]
    pub access_log: bool,
}

/// Why the demo cannot go on.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error("the instances could not be started: {0}")]
    Instances(io::Error),
    #[error("{0}")]
    Authority(#[from] AuthorityError),
    #[error("the balancer could not be started: {0}")]
    Balancer(String),
    #[error("the balancer has ended: {0}")]
    Ended(String),
    #[error("stickiness could not be switched: {0}")]
    Edit(String),
    #[error("{0}")]
    Random(String),
    #[error("the terminal or the system failed: {0}")]
    System(#[from] io::Error),
}

/// Runs the command to its end.
pub fn run(options: &Options) -> ExitCode {
    match try_run(options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("limpet demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_run(options: &Options) -> Result<ExitCode, DemoError> {
    if options.print_config {
        let ports = EXAMPLE_PORT..;
        let examples: Vec<_> = INSTANCE_IDS.into_iter().zip(ports.map(local)).collect();
        let certificate = options.tls.then(Files::example);
        let text = configuration(options, &examples, certificate.as_ref())?;
        io::stdout().write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let instances = Instances::start(application(options)).map_err(DemoError::Instances)?;
    let authority = options.tls.then(|| Authority::new(address(options).ip())).transpose()?;
    let certificate = authority.as_ref().map(Authority::files);
    let text = configuration(options, &instances.addresses, certificate)?;
    let balancer = Balancer::start(&text).map_err(DemoError::Balancer)?;
    let stage = Stage {
        application: application(options),
        balancer: &balancer,
        authority: authority.as_ref(),
    };
    let ended = if options.walkthrough {
        tell(&runtime, &stage, &instances)
    } else {
        serve(&runtime, &stage, &instances)
    };
    // The balancer ends first, so that no request finds its instance gone.
    balancer.shutdown();
    drop(instances);
    ended
}

/// What the story is told with.
struct Stage<'s> {
    application: Application,
    balancer: &'s Balancer,
    /// `None` = in clear.
    authority: Option<&'s Authority>,
}

impl Stage<'_> {
    /// The balancer as the story's own clients find it.
    fn place(&self) -> Place {
        let address = self.balancer.address();
        match self.authority {
            None => Place::plain(address),
            Some(authority) => authority.place(address),
        }
    }
}

fn application(options: &Options) -> Application {
    if options.mcp { Application::Mcp } else { Application::Pages }
}

/// The text that the balancer is configured with.
fn configuration(
    options: &Options,
    instances: &[(&'static str, SocketAddr)],
    certificate: Option<&Files>,
) -> Result<String, DemoError> {
    let configuration = Configuration {
        application: application(options),
        address: address(options),
        instances,
        sticky: options.sticky,
        access_log: options.access_log,
        console: (!options.walkthrough).then(|| console(options)),
        certificate,
        secret: configuration::new_secret().map_err(DemoError::Random)?,
    };
    Ok(configuration.to_toml())
}

/// Where the balancer listens.
fn address(options: &Options) -> SocketAddr {
    let port = if options.walkthrough { 0 } else { PORT };
    options.address.unwrap_or(local(port))
}

/// Where the console goes: where it was asked to, or its usual port, or, beside another demo, any.
fn console(options: &Options) -> SocketAddr {
    options.console.unwrap_or_else(|| {
        let usual = local(CONSOLE_PORT);
        if options.print_config || TcpListener::bind(usual).is_ok() { usual } else { local(0) }
    })
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Performs the walk-through.
fn tell(
    runtime: &Runtime,
    stage: &Stage<'_>,
    instances: &Instances,
) -> Result<ExitCode, DemoError> {
    let mut out = io::stdout();
    let (balancer, place) = (stage.balancer, stage.place());
    let address = balancer.address();
    write!(out, "limpet demo, the walk-through: balancer {address}")?;
    for (id, address) in &instances.addresses {
        write!(out, ", instance {id} {address}")?;
    }
    writeln!(out)?;
    let told = match stage.application {
        Application::Pages => {
            runtime.block_on(walkthrough::perform(Pages::at(place), balancer, &mut out))?
        }
        Application::Mcp => {
            runtime.block_on(walkthrough::perform(Agents::at(place), balancer, &mut out))?
        }
    };
    Ok(if told { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Serves until SIGINT or SIGTERM; Enter in a terminal switches stickiness.
fn serve(
    runtime: &Runtime,
    stage: &Stage<'_>,
    instances: &Instances,
) -> Result<ExitCode, DemoError> {
    let balancer = stage.balancer;
    let interactive = io::stdin().is_terminal();
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (entered, mut enter) = mpsc::channel(1);
        if interactive {
            thread::Builder::new()
                .name("demo-enter".to_owned())
                .spawn(move || read_enters(&entered))?;
        }
        let front = Front {
            address: balancer.address(),
            authority: stage.authority.map(Authority::own_file),
        };
        let guide = Guide {
            application: stage.application,
            balancer: front,
            console: balancer.console(),
            instances: &instances.addresses,
            sticky: balancer.is_sticky(),
            interactive,
            program: &std::env::current_exe()?.display().to_string(),
        };
        write!(io::stdout(), "{}", guide.text())?;
        loop {
            tokio::select! {
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                failure = balancer.failure() => return Err(DemoError::Ended(failure)),
                Some(()) = enter.recv() => {
                    // The console may have switched it meanwhile.
                    let sticky = !balancer.is_sticky();
                    balancer.set_stickiness(sticky).map_err(DemoError::Edit)?;
                    writeln!(io::stdout(), "{}", guide.switched(sticky))?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Reports each line of standard input until it ends; the thread ends with the process.
fn read_enters(entered: &mpsc::Sender<()>) {
    for line in io::stdin().lock().lines() {
        if line.is_err() || entered.blocking_send(()).is_err() {
            return;
        }
    }
}
