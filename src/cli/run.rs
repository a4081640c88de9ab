//! How does a configuration become a serving process, and how does that end?
//!
//! The order is the point: read, fork, bind, write the pid file, give up what only root may, start workers, tell everyone
//! that we serve. Whatever fails before the last step ends the process with a line that says what.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tracing_subscriber::EnvFilter;

use super::args::{Predecessors, RunArgs};
use super::daemon::{self, Side, Starting};
use super::notify::Notifier;
use super::pid_file::PidFile;
use super::privileges::{self, Kept};
use super::source::{self, Source};
use super::{FAILED, output};
use crate::control::{self, Exit, OnState, Orders, ServiceState};
use crate::model::Config;
use crate::proxy;
use crate::state::logs;
use crate::state::unix_places::{dismiss_predecessors, take_over_from};

/// How long finished log lines may take to leave the process at its end.
const LAST_LOGS: Duration = Duration::from_secs(2);

/// How long workers may take to notice that the process ends.
const LAST_WORKERS: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &RunArgs) -> ExitCode {
    if let Err(error) = source::enter_directory(&args.config) {
        output::talk(&error);
        return ExitCode::from(FAILED);
    }
    serve(Source::Files(args.config.files.clone()), args, || ())
}

/// Serves until a signal ends it. `ready` is called once everything is served and signals are heard.
pub(crate) fn serve(source: Source, args: &RunArgs, ready: impl FnOnce() + 'static) -> ExitCode {
    let loaded = source.load();
    if !args.quiet {
        source::tell(&loaded);
    }
    let acceptable = source::is_acceptable(&loaded, args.strict);
    let Some(mut config) = loaded.config.filter(|_| acceptable) else {
        output::talk("lockgate: not started, the configuration is wrong");
        return ExitCode::from(FAILED);
    };
    settle(&mut config, args);
    // Before any thread is there: the child would not have them.
    let starting = if args.daemon || (config.global.daemon && !args.foreground) {
        match daemon::go_to_background() {
            Ok(Side::Terminal(code)) => return code,
            Ok(Side::Background(starting)) => Some(starting),
            Err(error) => return failed("cannot go to the background", &error),
        }
    } else {
        None
    };
    talk_through_tracing(args);
    match start(config, source, args, starting, ready) {
        Ok(()) => ExitCode::SUCCESS,
        Err(StartError { what, why }) => failed(&what, &why),
    }
}

/// What the command line says goes before what the configuration says, at every reload too.
fn settle(config: &mut Config, args: &RunArgs) {
    if let Some(maxconn) = args.maxconn {
        config.global.maxconn = maxconn;
    }
}

/// The step that failed, and why.
#[derive(Debug)]
struct StartError {
    what: String,
    why: String,
}

fn at<E: Display>(what: impl Into<String>) -> impl FnOnce(E) -> StartError {
    move |error| StartError { what: what.into(), why: error.to_string() }
}

fn failed(what: &str, why: &impl Display) -> ExitCode {
    // Several lines are several reasons; each stands for itself.
    for line in why.to_string().lines() {
        output::talk(&format!("lockgate: {what}: {line}"));
    }
    ExitCode::from(FAILED)
}

fn start(
    config: Config,
    source: Source,
    args: &RunArgs,
    starting: Option<Starting>,
    ready: impl FnOnce() + 'static,
) -> Result<(), StartError> {
    if let Some(warning) = privileges::allow_files(&config) {
        tracing::warn!("{warning}");
    }
    let notifier =
        Notifier::from_environment(|name| std::env::var_os(name)).map_err(at("cannot reach the service manager"))?;
    if let Some(warning) = notifier.warning() {
        tracing::warn!("{warning}");
    }
    let global = config.global.clone();
    let kept = Kept::of_now(&global).map_err(at("cannot prepare for reloads"))?;
    let again = {
        let (args, kept) = (args.clone(), kept.clone());
        move || {
            let read = kept.reading(|| source.load_or_explain());
            let mut read = read.unwrap_or_else(|error| Err(format!("cannot read files as at the start: {error}")))?;
            settle(&mut read.config, &args);
            if args.quiet {
                read.warnings.clear();
            }
            Ok(read)
        }
    };
    let as_at_start: control::AsAtStart = {
        let kept = kept.clone();
        Arc::new(move |work| kept.reading(work))
    };
    let first_ready = {
        let args = args.clone();
        move |served: &str| {
            if !args.quiet {
                tracing::info!("serving {served}, pid {}", std::process::id());
            }
            dismiss_predecessors();
            ready();
            starting.map_or(Ok(()), Starting::ready)
        }
    };
    let told = telling(notifier, summary(&config), first_ready);
    let Predecessors { finish, terminate } = &args.predecessors;
    take_over_from([finish.as_slice(), terminate].concat(), {
        let predecessors = args.predecessors.clone();
        move || dismiss(&predecessors)
    });
    let (shared, controller) = control::boot(config, Arc::new(again), told).map_err(at("cannot start"))?;
    let controller = controller.reading_as_at_start(as_at_start);
    let pid_path = args.pid_file.as_ref().or(global.pidfile.as_ref());
    let pid_file = pid_path
        .map(|path| PidFile::write(path).map_err(at(format!("cannot write the pid file `{}`", path.display()))))
        .transpose()?;
    privileges::give_up(&global, &kept).map_err(at("cannot give up privileges"))?;
    announce_panics();
    let start_workers = || proxy::spawn_workers(&shared, global.threads.get());
    let workers = kept.without(start_workers).map_err(at("cannot start workers"))?;
    let ended = controller.run(Orders::BySignal).map_err(at("the control thread failed"));
    join(workers);
    logs::flush_all(LAST_LOGS);
    drop(pid_file);
    tracing::info!("stopped");
    match ended? {
        Exit::Broken => Err(StartError { what: "stopped".to_owned(), why: "a worker has failed".to_owned() }),
        Exit::Finished | Exit::DeadlinePassed | Exit::Stopped => Ok(()),
    }
}

/// `2 frontends, 3 servers`
fn summary(config: &Config) -> String {
    let servers: usize = config.backends.iter().map(|backend| backend.servers.len()).sum();
    format!("{} frontends, {servers} servers", config.frontends.len())
}

/// Passes on to the service manager what the controller says of itself. The first time it is ready, signals are heard
/// and workers serve: `first_ready` tells whoever waited for that.
fn telling(notifier: Notifier, served: String, first_ready: impl FnOnce(&str) -> io::Result<()> + 'static) -> OnState {
    let mut first_ready = Some(first_ready);
    Box::new(move |state| match state {
        ServiceState::Ready => {
            if let Some(Err(error)) = first_ready.take().map(|tell| tell(&served)) {
                tracing::warn!("cannot let go of the terminal: {error}");
            }
            notifier.ready();
        }
        ServiceState::Reloading => notifier.reloading(),
        ServiceState::Stopping => notifier.stopping(),
        ServiceState::Status(line) => notifier.status(&line),
        ServiceState::Alive => notifier.alive(),
    })
}

/// Tells the processes this one takes over from; one that is gone already is no error.
fn dismiss(predecessors: &Predecessors) {
    let finish = predecessors.finish.iter().map(|pid| (*pid, Signal::USR1));
    let terminate = predecessors.terminate.iter().map(|pid| (*pid, Signal::TERM));
    for (pid, signal) in finish.chain(terminate) {
        let told = i32::try_from(pid).ok().and_then(Pid::from_raw).map(|pid| kill_process(pid, signal));
        match told {
            Some(Ok(())) => tracing::info!("told process {pid} to end"),
            Some(Err(error)) => tracing::warn!("cannot tell process {pid} to end: {error}"),
            None => tracing::warn!("{pid} is no process id"),
        }
    }
}

/// Waits for workers, but not for ever: one that hangs must not keep the process alive.
fn join(workers: Vec<thread::JoinHandle<()>>) {
    let (done, ended) = std::sync::mpsc::channel();
    let waiting = workers.len();
    for worker in workers {
        let done = done.clone();
        thread::spawn(move || {
            // A panic was told by the hook.
            let _ = worker.join();
            let _ = done.send(());
        });
    }
    let until = std::time::Instant::now() + LAST_WORKERS;
    for _ in 0..waiting {
        let left = until.saturating_duration_since(std::time::Instant::now());
        if ended.recv_timeout(left).is_err() {
            tracing::warn!("a worker did not end in time");
            return;
        }
    }
}

/// Our own messages: time, level and text on stderr. `RUST_LOG` chooses others.
fn talk_through_tracing(args: &RunArgs) {
    let level = match (args.quiet, args.verbose) {
        (true, _) => "warn",
        (false, true) => "lockgate=debug,info",
        (false, false) => "info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(output::colours_on_stderr())
        .with_target(false);
    // Only a second call in one process fails, and that has its subscriber then.
    let _ = subscriber.try_init();
}

/// A panic is a defect; it is told on one line, and the backtrace when that was asked for.
fn announce_panics() {
    let usual = std::panic::take_hook();
    let backtraces = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |panic| {
        let thread = thread::current();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let message = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
        let message = message.unwrap_or("no message").replace('\n', " ");
        tracing::error!("defect in thread {}: {message} at {place}", thread.name().unwrap_or("without a name"));
        if backtraces {
            usual(panic);
        }
    }));
}
