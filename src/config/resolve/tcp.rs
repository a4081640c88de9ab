//! Which rules decide about connections? `tcp-request`, from words to trees (HAProxy manual 4.2).

use super::context::{Context, Section};
use super::layers::Layer;
use super::rules::Conditions;
use crate::config::expr::{Scope, Side, Stage, parse_tcp_action};
use crate::config::raw::TcpRule as RawRule;
use crate::diag::{Diagnostic, FieldPath};
use crate::model::Mode;
use crate::model::rule::Fetch;
use crate::model::tcp::{TcpAction, TcpRule, TcpRules};

/// The rules that run for a section, those of its defaults first. The back of a `listen` leaves them to its front.
pub(super) fn request<'a>(context: &Context<'a>, section: &Section<'a>) -> TcpRules {
    let mut rules = TcpRules::default();
    for layer in section.layers.iter().rev() {
        let written = &layer.proxy.tcp_request;
        if written.connection.is_empty() && written.session.is_empty() && written.content.is_empty() {
            continue;
        }
        let read = Reader { section, layer, conditions: Conditions::of_layer(context, section, layer), context };
        rules.connection.extend(read.all(Stage::Connection, &written.connection));
        rules.session.extend(read.all(Stage::Session, &written.session));
        rules.content.extend(read.all(Stage::Content, &written.content));
    }
    let delay = section.layers.said("tcp_request.inspect_delay", |proxy| proxy.tcp_request.inspect_delay.as_ref());
    rules.inspect_delay = delay.and_then(|said| context.time(&said)).filter(|delay| !delay.is_zero());
    rules
}

struct Reader<'r, 'a> {
    context: &'r Context<'a>,
    section: &'r Section<'a>,
    layer: &'r Layer<'a>,
    conditions: Conditions<'r, 'a>,
}

impl Reader<'_, '_> {
    /// The rules of one stage; wrong ones are left out after they were told.
    fn all(&self, stage: Stage, written: &[RawRule]) -> Vec<TcpRule> {
        let path = self.layer.path.key("tcp_request").key(stage.name());
        written.iter().enumerate().filter_map(|(index, rule)| self.one(stage, &path.index(index), rule)).collect()
    }

    fn one(&self, stage: Stage, path: &FieldPath, rule: &RawRule) -> Option<TcpRule> {
        let mut actions = rule.actions();
        let action = match (actions.next(), actions.next()) {
            (Some((name, words)), None) => {
                let parse = |scope: &Scope<'_>| parse_tcp_action(stage, name, words.as_slice(), scope);
                let read = self.conditions.told(&path.key(name), self.conditions.with_scope(Side::Request, parse));
                if let Some(expr) = read.as_ref().ok().and_then(TcpAction::expr) {
                    self.check_stage(stage, &path.key(name), |asked| asked(&expr.fetch));
                }
                read
            }
            (None, _) => {
                let told = Diagnostic::error("the rule has no action");
                self.context.tell(path, told.hint("write `accept: true` or `reject: true`"));
                return None;
            }
            (Some((first, _)), Some((second, _))) => {
                let told = format!("one rule has one action, not both `{first}` and `{second}`");
                self.context.error(&path.key(second), told);
                return None;
            }
        };
        let condition = self.conditions.read(path, rule.if_.as_ref(), rule.unless.as_ref());
        let (Ok(action), Ok(condition)) = (action, condition) else { return None };
        if let Some(condition) = &condition {
            self.check_stage(stage, &path.key(if rule.if_.is_some() { "if" } else { "unless" }), |asked| {
                condition.asks(asked)
            });
        }
        Some(TcpRule { action, condition })
    }

    /// HAProxy only warns of what can never be there. `asks` tells whether one of the fetches in question is such.
    fn check_stage(&self, stage: Stage, path: &FieldPath, asks: impl Fn(fn(&Fetch) -> bool) -> bool) {
        let too_early = match stage {
            Stage::Connection | Stage::Session => asks(|fetch| fetch.is_of_message() || fetch.is_of_first_bytes()),
            Stage::Content => self.section.mode == Mode::Tcp && asks(Fetch::is_of_message),
        };
        if too_early {
            let told = format!("`tcp-request {}` is asked before what this looks at is there", stage.name());
            self.context.tell(path, Diagnostic::error(told).hint("write it as `tcp-request content`"));
        }
    }
}
