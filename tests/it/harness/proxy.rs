//! A proxy within the test's own process: for stories of traffic, most of all. When the story is over it is stopped, and
//! must have left nothing behind.

use std::ops::{Deref, DerefMut};
use std::thread;

use lockgate::in_process::{self, Leftovers, Order, Running};

use super::instance::Instance;
use super::{TempDir, eventually};

pub struct Proxy {
    running: Option<Running>,
    instance: Instance,
}

impl Proxy {
    /// Runs a configuration until it serves; placeholders as in [`Instance::prepare`].
    #[track_caller]
    pub fn start(config: &str) -> Self {
        Proxy::start_in(config, TempDir::new())
    }

    /// As [`Self::start`], with files already in the directory.
    #[track_caller]
    pub fn start_in(config: &str, dir: TempDir) -> Self {
        let instance = Instance::prepare(config, dir);
        let (heard, said) = std::io::pipe().expect("a pipe");
        instance.listen_to(heard);
        match in_process::start(vec![instance.config().to_owned()], said) {
            Ok(running) => Proxy { running: Some(running), instance },
            Err(why) => panic!("not started: {why}"),
        }
    }

    /// Reads its configuration again; what comes of it is said.
    pub fn reload(&self) {
        self.running.as_ref().expect("it runs").order(Order::Reload);
    }
}

impl Deref for Proxy {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.instance
    }
}

impl DerefMut for Proxy {
    fn deref_mut(&mut self) -> &mut Instance {
        &mut self.instance
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        running.order(Order::Stop);
        let left = running.join();
        if thread::panicking() {
            return;
        }
        assert_eq!(left, Ok(Leftovers::default()), "it left something behind; it said:\n{}", self.said());
        eventually("its last thread ends", || self.has_fallen_silent().then_some(()));
    }
}
