//! When drills are due, as a metric.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

/// A drill by the charter's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfDrill {
    /// Its name.
    drill: String,
}

/// Seconds by drill, without a moment at which one is not there that is due.
#[derive(Debug, Default)]
pub struct Due {
    family: Family<OfDrill, Gauge>,
    shown: Mutex<BTreeMap<String, i64>>,
}

impl Due {
    /// What a registry shows.
    pub(super) fn family(&self) -> Family<OfDrill, Gauge> {
        self.family.clone()
    }

    /// Shows these, and none that is not among them.
    pub fn put(&self, seconds: BTreeMap<String, i64>) {
        let of = |drill: &String| OfDrill { drill: drill.clone() };
        for (drill, left) in &seconds {
            self.family.get_or_create(&of(drill)).set(*left);
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.keys().filter(|drill| !seconds.contains_key(*drill)) {
            self.family.remove(&of(gone));
        }
        *shown = seconds;
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn what_is_gone_goes_and_what_stays_keeps_its_place() {
        let (due, mut registry) = (Due::default(), Registry::default());
        registry.register("due", "When", due.family());
        let shown = || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
            lines
        };
        let put = |all: &[(&str, i64)]| due.put(all.iter().map(|(drill, left)| ((*drill).to_owned(), *left)).collect());
        put(&[("back", 5), ("lost", 7)]);
        assert_eq!(shown().len(), 2);
        let kept = due.family.get_or_create(&OfDrill { drill: "back".to_owned() }).clone();
        put(&[("back", -1)]);
        assert_eq!(shown(), ["due{drill=\"back\"} -1"]);
        assert_eq!(kept.get(), -1, "it is the same one as before: nobody saw it missing");
        put(&[]);
        assert_eq!(shown(), [""; 0]);
    }
}
