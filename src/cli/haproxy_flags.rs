//! How does `haproxy`'s own command line read? (HAProxy management guide, chapter 3.)
//!
//! It is no getopt: flags of several letters follow one dash (`-db`, `-Ws`, `-sf`), so clap cannot read it. Every flag of
//! the guide has a row below: done, or known with the reason why it does nothing here; anything else is refused.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use super::args::{CheckArgs, RunArgs};

/// What such a command line asks for.
#[derive(Debug)]
pub(crate) enum Asked {
    Run(RunArgs),
    Check(CheckArgs),
    /// `-v`
    Version,
    /// `-vv`: with how it was built.
    VersionAndBuild,
}

/// What was read, and what is to be told about flags that mean nothing here.
#[derive(Debug)]
pub(crate) struct Read {
    pub asked: Asked,
    pub notes: Vec<String>,
}

/// Why a command line cannot be read; the program ends with exit code 2.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BadUsage {
    Unknown(String),
    MissingValue { flag: String, what: &'static str },
    BadNumber { flag: String, value: String },
    NotBuilt { flag: String, why: &'static str },
    NoFile,
}

impl fmt::Display for BadUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadUsage::Unknown(word) => write!(f, "unknown argument `{word}`; `lockgate --help` lists what there is"),
            BadUsage::MissingValue { flag, what } => write!(f, "`{flag}` needs {what} behind it"),
            BadUsage::BadNumber { flag, value } => write!(f, "`{flag}` takes a number from 1, not `{value}`"),
            BadUsage::NotBuilt { flag, why } => write!(f, "`{flag}` is known but not built yet: {why}"),
            BadUsage::NoFile => write!(f, "no configuration given; use `-f FILE`"),
        }
    }
}

/// Flags that HAProxy has and that need nothing from us, with what is told about them.
const NOTHING_TO_DO: &[(&str, &str)] = &[
    ("-de", "there is no other poller to fall back to than epoll"),
    ("-dp", "poll is never used"),
    ("-dk", "kqueue is never used"),
    ("-dv", "event ports are never used"),
    ("-dS", "where the kernel refuses to splice, bytes are copied"),
    ("-dR", "SO_REUSEPORT is how workers share an address"),
    ("-dG", "names are always resolved by the system"),
    ("-dr", "a server address that cannot be resolved is an error"),
    ("-dV", "server certificates are verified as the configuration says"),
    ("-dM", "memory is not poisoned by a flag"),
    ("-dL", "no shared library is loaded at run time"),
    ("-dZ", "there is no fast forwarding to switch off"),
    ("-dT", "there is no polling to tune"),
];

/// Flags whose meaning would be missed if they did nothing.
const NOT_BUILT: &[(&str, &str)] = &[
    ("-x", "sockets cannot be taken over from another process; send SIGUSR2 to reload instead"),
    ("-S", "there is no master process with a socket of its own; use `stats socket`"),
    ("-L", "there are no peers yet"),
    ("-m", "memory is not limited by a flag; use the service manager's limit"),
    ("-N", "use `maxconn` in a defaults section"),
    ("-dK", "use `lockgate keywords`"),
    ("-dD", "diagnostics are always on; see `lockgate check`"),
    ("-dC", "the resolved configuration cannot be dumped yet"),
    ("-dI", "there is no insecure fork to allow"),
];

/// Reads everything behind the program's name.
///
/// # Errors
/// [`BadUsage`], with the one word that is wrong.
pub(crate) fn read(arguments: &[OsString]) -> Result<Read, BadUsage> {
    let mut reader =
        Reader { arguments: arguments.iter(), run: RunArgs::default(), check: false, version: None, notes: Vec::new() };
    while let Some(argument) = reader.arguments.next() {
        reader.flag(argument)?;
    }
    reader.finish()
}

struct Reader<'a> {
    arguments: std::slice::Iter<'a, OsString>,
    run: RunArgs,
    check: bool,
    version: Option<Asked>,
    notes: Vec<String>,
}

impl<'a> Reader<'a> {
    fn flag(&mut self, argument: &'a OsStr) -> Result<(), BadUsage> {
        let flag = argument.to_str().unwrap_or_default();
        match flag {
            "-f" => {
                let file = self.value(flag, "a file or directory")?;
                self.run.config.files.push(PathBuf::from(file));
            }
            "-C" => self.run.config.directory = Some(PathBuf::from(self.value(flag, "a directory")?)),
            "-p" => self.run.pid_file = Some(PathBuf::from(self.value(flag, "a file")?)),
            "-n" => self.run.maxconn = Some(self.number(flag)?),
            "-c" => self.check = true,
            "-q" => self.run.quiet = true,
            "-V" => self.run.verbose = true,
            "-d" | "-db" => self.run.foreground = true,
            "-D" => self.run.daemon = true,
            "-dW" => self.run.strict = true,
            // One process that reloads itself is master and worker at once, and it always tells systemd.
            "-W" | "-Ws" => {}
            "-sf" => {
                let pids = self.pids(flag)?;
                self.run.predecessors.finish.extend(pids);
            }
            "-st" => {
                let pids = self.pids(flag)?;
                self.run.predecessors.terminate.extend(pids);
            }
            "-v" | "-vq" => self.version = Some(Asked::Version),
            "-vv" => self.version = Some(Asked::VersionAndBuild),
            "--" => {
                let files = self.arguments.by_ref().map(PathBuf::from);
                self.run.config.files.extend(files);
            }
            _ => return self.without_effect(argument),
        }
        Ok(())
    }

    fn without_effect(&mut self, argument: &OsStr) -> Result<(), BadUsage> {
        let flag = argument.to_string_lossy();
        if let Some((_, why)) = NOT_BUILT.iter().find(|(known, _)| *known == flag) {
            return Err(BadUsage::NotBuilt { flag: flag.into_owned(), why });
        }
        // `-dM` takes a byte or words directly behind it.
        let known =
            NOTHING_TO_DO.iter().find(|(known, _)| *known == flag || (*known == "-dM" && flag.starts_with("-dM")));
        let Some((_, why)) = known else {
            return Err(BadUsage::Unknown(flag.into_owned()));
        };
        self.notes.push(format!("`{flag}` changes nothing: {why}"));
        Ok(())
    }

    fn value(&mut self, flag: &str, what: &'static str) -> Result<&'a OsString, BadUsage> {
        self.arguments.next().ok_or_else(|| BadUsage::MissingValue { flag: flag.to_owned(), what })
    }

    fn number(&mut self, flag: &str) -> Result<u32, BadUsage> {
        let value = self.value(flag, "a number")?.to_string_lossy();
        match value.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(BadUsage::BadNumber { flag: flag.to_owned(), value: value.into_owned() }),
        }
    }

    /// The process ids behind the flag, up to the next flag; init scripts pass none when nothing runs yet.
    fn pids(&mut self, flag: &str) -> Result<Vec<u32>, BadUsage> {
        let mut pids = Vec::new();
        while let Some(next) = self.arguments.as_slice().first() {
            if next.to_string_lossy().starts_with('-') {
                break;
            }
            pids.push(self.number(flag)?);
        }
        Ok(pids)
    }

    fn finish(self) -> Result<Read, BadUsage> {
        if let Some(asked) = self.version {
            return Ok(Read { asked, notes: self.notes });
        }
        if self.run.config.files.is_empty() {
            return Err(BadUsage::NoFile);
        }
        let run = self.run;
        let asked = if self.check {
            let RunArgs { config, quiet, verbose, strict, .. } = run;
            Asked::Check(CheckArgs { config, quiet, verbose, strict, ..CheckArgs::default() })
        } else {
            Asked::Run(run)
        };
        Ok(Read { asked, notes: self.notes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Result<Read, BadUsage> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        read(&words)
    }

    #[track_caller]
    fn runs(line: &str) -> RunArgs {
        match read_line(line).map(|read| read.asked) {
            Ok(Asked::Run(run)) => run,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[track_caller]
    fn check_refused(line: &str, expected: &str) {
        assert_eq!(read_line(line).map(|read| read.notes).unwrap_err().to_string(), expected, "{line}");
    }

    #[test]
    fn reads_the_flags_of_init_scripts_and_units() {
        let run = runs("-Ws -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid -n 2000 -C /etc -q");
        assert_eq!(run.config.files, [PathBuf::from("/etc/haproxy/haproxy.cfg")]);
        assert_eq!(run.config.directory, Some(PathBuf::from("/etc")));
        assert_eq!(run.pid_file, Some(PathBuf::from("/run/haproxy.pid")));
        assert_eq!((run.maxconn, run.quiet, run.daemon), (Some(2000), true, false));
        assert!(runs("-D -f x").daemon);
        assert!(runs("-db -f x").foreground);
    }

    #[test]
    fn takes_several_files() {
        assert_eq!(runs("-f a -f b -- c d").config.files.len(), 4);
    }

    #[test]
    fn collects_the_pids_of_older_processes() {
        assert_eq!(runs("-f a -sf 12 13").predecessors.finish, [12, 13]);
        assert_eq!(runs("-st 7 -f a").predecessors.terminate, [7]);
        assert_eq!(runs("-f a -sf").predecessors, Default::default());
    }

    #[test]
    fn a_check_keeps_quiet_and_verbose() {
        match read_line("-c -V -f a").map(|read| read.asked) {
            Ok(Asked::Check(check)) => assert!(check.verbose && !check.quiet),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn says_what_is_wrong_in_one_line() {
        check_refused("-f", "`-f` needs a file or directory behind it");
        check_refused("-n many -f a", "`-n` takes a number from 1, not `many`");
        check_refused("-c", "no configuration given; use `-f FILE`");
        check_refused("-f a -z", "unknown argument `-z`; `lockgate --help` lists what there is");
        check_refused(
            "-x /run/s -f a",
            "`-x` is known but not built yet: sockets cannot be taken over from another process; send SIGUSR2 to reload instead",
        );
    }

    #[test]
    fn tells_of_flags_that_change_nothing() {
        assert_eq!(read_line("-dp -dMuaf -f a").map(|read| read.notes.len()), Ok(2));
        assert!(read_line("-f a").is_ok_and(|read| read.notes.is_empty()));
    }
}
