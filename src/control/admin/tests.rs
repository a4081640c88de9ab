//! Conversations on a runtime socket, against a controller as it boots.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::session::{Client, LINE_LIMIT, Session};
use crate::control::{Controller, boot};
use crate::model::global::AccessLevel::{self, Admin, Operator, User};
use crate::model::{Config, testing};

fn config() -> Config {
    let mut weighted = testing::server("s1", "127.0.0.1:1");
    weighted.weight = 10;
    let servers = vec![weighted, testing::checked("s2", "127.0.0.1:1")];
    testing::config(vec![testing::frontend("web", &["127.0.0.1:0"])], vec![testing::backend("app", servers)])
}

fn controller() -> Controller {
    let never = Arc::new(|| Err("no file".to_owned()));
    boot(config(), never, Box::new(|_| {})).unwrap().1
}

/// Says all of `said` at once, closes the sending side, and gives what came back.
fn talk(controller: &mut Controller, level: AccessLevel, said: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        let client = Client { level, idle: Duration::from_secs(5), handle: controller.handle() };
        let mut session = tokio::task::spawn_local(Session::new(theirs, client).run());
        ours.write_all(said.as_bytes()).await.unwrap();
        ours.shutdown().await.unwrap();
        loop {
            tokio::select! {
                Some(event) = controller.incoming.recv() => controller.take(event, Instant::now()),
                ended = &mut session => break ended.unwrap().unwrap(),
            }
        }
        let mut heard = String::new();
        ours.read_to_string(&mut heard).await.unwrap();
        heard
    })
}

#[track_caller]
fn check(controller: &mut Controller, said: &str, expected: &str) {
    assert_eq!(talk(controller, Admin, said), expected, "answer to {said:?}");
}

#[test]
fn success_is_an_empty_line_and_refusals_are_haproxys() {
    let controller = &mut controller();
    check(controller, "set server app/s1 state drain\n", "\n");
    check(controller, "get weight app/s1\n", "10 (initial 10)\n\n");
    check(controller, "set weight app/s1 50%\n", "\n");
    check(controller, "get weight #3/#1\n", "5 (initial 10)\n\n");
    check(controller, "set weight app/s1\n", "Require <weight> or <weight%>.\n\n");
    check(controller, "set weight app\n", "Require 'backend/server'.\n\n");
    check(controller, "set weight app/s1 300\n", "Absolute weight can only be between 0 and 256 inclusive.\n\n");
    check(controller, "disable server app/nope\n", "No such server.\n\n");
    check(controller, "disable server nope/s1\n", "No such backend.\n\n");
    check(controller, "set server app/nope state foo\n", "No such server.\n\n");
    check(controller, "enable health app/s1\n", "Health check was not configured on this server, cannot enable.\n\n");
    check(controller, "disable frontend nope\n", "No such frontend.\n\n");
    check(controller, "disable frontend\n", "A frontend name is expected.\n\n");
    check(controller, "set maxconn global abc\n", "Expects an integer value.\n\n");
    check(controller, "show servers state nope\n", "Can't find backend.\n\n");
    check(controller, "show stat nope 4 -1\n", "No such proxy.\n\n");
    check(controller, "show backend\n", "# name\napp\n\n");
}

#[test]
fn a_line_holds_several_commands_and_each_answer_ends_with_an_empty_line() {
    let controller = &mut controller();
    check(controller, "get weight app/s1;get weight app/s2\r\n", "10 (initial 10)\n\n1 (initial 1)\n\n");
    check(controller, "get weight app/s1\nget weight app/s2\n", "10 (initial 10)\n\n1 (initial 1)\n\n");
    check(controller, "get weight app/s1", "10 (initial 10)\n\n");
    let both = talk(controller, Admin, "show info;show stat\r\n");
    assert_eq!(both.matches("\n\n").count(), 2, "Datadog parts the answers there");
}

#[test]
fn prompt_keeps_the_conversation_going() {
    let controller = &mut controller();
    check(
        controller,
        "prompt\nset timeout cli 60;get weight app/s1\nquit\nget weight app/s1\n",
        "\n> \n> 10 (initial 10)\n\n> ",
    );
    check(controller, "set timeout cli x\n", "Invalid timeout value.\n\n");
    check(controller, "set timeout\n", "'set timeout' only supports 'cli'.\n\n");
}

#[test]
fn levels_are_held_and_can_only_be_lowered() {
    let controller = &mut controller();
    let mut say = |level, said: &str| talk(controller, level, said);
    assert_eq!(say(User, "set server app/s1 state maint\n"), "Permission denied\n\n");
    assert_eq!(say(User, "show env\n"), "Permission denied\n\n");
    assert_eq!(say(Operator, "clear counters\n"), "\n");
    assert_eq!(say(Operator, "clear counters all\n"), "Permission denied\n\n");
    assert_eq!(say(User, "operator\n"), "Permission denied\n\n");
    assert_eq!(
        say(Admin, "show cli level;user;show cli level;disable server app/s1\n"),
        "admin\n\n\nuser\n\nPermission denied\n\n"
    );
}

#[test]
fn payloads_and_endless_lines_are_refused() {
    let controller = &mut controller();
    check(controller, "get weight <<\nshow info\n\n", "This command takes no payload ('<<').\n\n");
    let long = format!("show stat {}\n", "x".repeat(LINE_LIMIT));
    check(controller, &long, "Command line too long.\n\n");
}

#[test]
fn what_tools_wait_for_is_there() {
    let controller = &mut controller();
    let status = |controller: &mut Controller| {
        let csv = talk(controller, User, "show stat\n");
        let header: Vec<&str> = csv.lines().next().unwrap().trim_start_matches("# ").split(',').collect();
        let column = header.iter().position(|name| *name == "status").unwrap();
        let row = csv.lines().find(|line| line.starts_with("app,s2,")).unwrap();
        row.split(',').nth(column).unwrap().to_owned()
    };
    assert!(status(controller).starts_with("UP"));
    check(controller, "set server app/s2 state drain\n", "\n");
    assert!(status(controller).starts_with("DRAIN"));
    check(controller, "disable server app/s2\n", "\n");
    assert_eq!(status(controller), "MAINT");
    let version = talk(controller, User, "show info\n");
    let version = version.lines().find_map(|line| line.strip_prefix("Version: ")).unwrap();
    let major: u32 = version.split('.').next().unwrap().parse().unwrap();
    assert!(major >= 2, "Ansible drains from version 1.5 on");
}

#[test]
fn servers_state_is_in_haproxys_columns() {
    let controller = &mut controller();
    let state = talk(controller, User, "show servers state app\n");
    let mut lines = state.lines();
    assert_eq!(lines.next(), Some("1"));
    let columns = lines.next().unwrap().trim_start_matches("# ").split(' ').count();
    assert_eq!(columns, 25);
    assert_eq!(lines.next(), Some("3 app 1 s1 127.0.0.1 2 0 10 10 0 1 0 2 0 0 0 0 - 1 - 0 0 - - 0"));
    assert_eq!(lines.next().unwrap().split(' ').count(), columns);
}
