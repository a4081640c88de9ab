//! Who of a backend's servers gets traffic now? Primaries while any is usable, else backups (HAProxy manual 5.2
//! `backup`, 4.2 `option allbackups`).

use crate::model::ServerId;
use crate::model::backend::Role;

/// One server as the choice sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub id: ServerId,
    pub role: Role,
    /// 0 keeps it out.
    pub weight: u16,
    /// Healthy and not ordered away.
    pub usable: bool,
}

impl Candidate {
    fn serves(&self) -> bool {
        self.usable && self.weight > 0
    }
}

/// All usable primaries; without one the first usable backup, or all of them with `all_backups`. In the order given,
/// with their weights.
pub(crate) fn choose(candidates: &[Candidate], all_backups: bool) -> Vec<(ServerId, u32)> {
    let of = |role: Role| {
        candidates
            .iter()
            .filter(move |candidate| candidate.role == role && candidate.serves())
            .map(|candidate| (candidate.id, u32::from(candidate.weight)))
    };
    let primaries: Vec<_> = of(Role::Active).collect();
    if !primaries.is_empty() {
        return primaries;
    }
    of(Role::Backup).take(if all_backups { usize::MAX } else { 1 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `P` a usable primary, `p` one that is not, `B`/`b` the same of backups, `0` a primary of weight 0.
    #[track_caller]
    fn check(servers: &str, all_backups: bool, expected: &[u32]) {
        let candidates: Vec<_> = servers
            .chars()
            .enumerate()
            .map(|(index, kind)| Candidate {
                id: ServerId(index as u32),
                role: if matches!(kind, 'B' | 'b') { Role::Backup } else { Role::Active },
                weight: if kind == '0' { 0 } else { 1 },
                usable: kind.is_uppercase() || kind == '0',
            })
            .collect();
        let chosen = choose(&candidates, all_backups);
        assert_eq!(chosen.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), expected, "of {servers}");
    }

    #[test]
    fn backups_serve_only_when_no_primary_can() {
        check("PPB", false, &[0, 1]);
        check("pPB", false, &[1]);
        check("ppB", false, &[2]);
        check("0BB", false, &[1]);
        check("ppbBB", false, &[3]);
        check("ppbBB", true, &[3, 4]);
        check("ppb", true, &[]);
        check("", false, &[]);
    }
}
