//! In which order do weighted servers take turns? Smooth weighted round-robin, unrolled over one whole period.
//!
//! Each turn every server gains its weight; the one ahead takes the turn and pays the sum back. So a server of weight 3
//! among others gets three turns per period spread over it, never three in a row when it can be helped. Unrolling costs
//! memory once per change and makes each pick one lookup, which is what lets all workers share one strict order.

use crate::model::ServerId;

/// Turns in one table. Weights whose reduced sum is larger are scaled down to about this many turns, none below 1; a
/// share is then off by less than one turn of this many.
pub(crate) const MAX_TURNS: u64 = 8192;

/// One period of turns for servers of weight 1 or more. Weight 0 gets none. The same input gives the same order.
pub(crate) fn turns(servers: &[(ServerId, u32)]) -> Box<[ServerId]> {
    let mut entries: Vec<Entry> = servers
        .iter()
        .filter(|(_, weight)| *weight > 0)
        .map(|&(id, weight)| Entry { id, weight: i64::from(weight), ahead: 0 })
        .collect();
    reduce(&mut entries);
    let period: i64 = entries.iter().map(|entry| entry.weight).sum();
    (0..period).filter_map(|_| take_turn(&mut entries, period)).collect()
}

struct Entry {
    id: ServerId,
    weight: i64,
    /// What it has gained and not yet spent.
    ahead: i64,
}

fn take_turn(entries: &mut [Entry], period: i64) -> Option<ServerId> {
    for entry in entries.iter_mut() {
        entry.ahead += entry.weight;
    }
    // The first of those ahead, so that equal weights go in configuration order.
    let next = entries.iter_mut().reduce(|best, entry| if entry.ahead > best.ahead { entry } else { best })?;
    next.ahead -= period;
    Some(next.id)
}

/// Divides by the common divisor, then keeps the table within bounds.
fn reduce(entries: &mut [Entry]) {
    let divisor = entries.iter().fold(0, |divisor, entry| common_divisor(divisor, entry.weight)).max(1);
    let sum: i64 = entries.iter().map(|entry| entry.weight / divisor).sum();
    let limit = MAX_TURNS as i64;
    for entry in entries.iter_mut() {
        entry.weight /= divisor;
        if sum > limit {
            entry.weight = (entry.weight * limit / sum).max(1);
        }
    }
}

fn common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(weights: &[u32]) -> String {
        let servers: Vec<_> = weights.iter().enumerate().map(|(i, &weight)| (ServerId(i as u32), weight)).collect();
        turns(&servers).iter().map(|id| char::from(b'a' + id.0 as u8)).collect()
    }

    #[track_caller]
    fn check(weights: &[u32], expected: &str) {
        assert_eq!(order(weights), expected, "weights {weights:?}");
    }

    #[test]
    fn spreads_turns_by_weight() {
        check(&[1, 1, 1], "abc");
        check(&[5, 1, 1], "aabacaa");
        check(&[2, 1], "aba");
        check(&[256, 256], "ab");
        check(&[100, 50], "aba");
        check(&[0, 3], "b");
        check(&[], "");
        check(&[0], "");
    }

    proptest! {
        #[test]
        fn each_server_gets_exactly_its_weight(weights in proptest::collection::vec(0u32..=30, 0..12)) {
            let order = order(&weights);
            let divisor = weights.iter().fold(0, |a, &b| common_divisor(a, i64::from(b))).max(1) as u32;
            for (index, weight) in weights.iter().enumerate() {
                let name = char::from(b'a' + index as u8);
                prop_assert_eq!(order.matches(name).count() as u32, weight / divisor);
            }
        }

        /// In every stretch of the order a server's turns stay close to its share: at most one off either way per peer.
        #[test]
        fn no_server_waits_long(weights in proptest::collection::vec(1u32..=20, 2..6)) {
            let order: Vec<char> = order(&weights).chars().collect();
            let sum: u32 = weights.iter().sum();
            for (index, &weight) in weights.iter().enumerate() {
                let name = char::from(b'a' + index as u8);
                let mut had = 0.0;
                for (turn, &taken) in order.iter().enumerate() {
                    had += f64::from(u8::from(taken == name));
                    let share = f64::from(weight) / f64::from(sum) * (turn + 1) as f64;
                    prop_assert!((had - share).abs() <= weights.len() as f64 / 2.0 + 1.0, "{name} had {had} of {share}");
                }
            }
        }

        #[test]
        fn the_table_stays_bounded(weights in proptest::collection::vec(1u32..=256, 1..400)) {
            let servers: Vec<_> = weights.iter().enumerate().map(|(i, &w)| (ServerId(i as u32), w)).collect();
            let table = turns(&servers);
            prop_assert!(table.len() as u64 <= MAX_TURNS + servers.len() as u64);
            for (id, _) in servers {
                prop_assert!(table.contains(&id));
            }
        }
    }
}
