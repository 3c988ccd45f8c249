//! Limits and rules as the signers read them.

use super::{CHECKERS, Class, DESTINATIONS, LEDGER, Limit, Per, Rule, UNIT, Verb, Where};

impl Limit {
    /// What no ledger certifies is set aside whole.
    pub(super) fn toml(&self, index: usize, certified: bool) -> String {
        let per = match self.per {
            Per::All => "all",
            Per::Requester => "requester",
            Per::Destination => "destination",
        };
        let mut text = format!("[[limits]]\nid = \"l{index}\"\nasset = \"{}\"\nper = \"{per}\"\n", self.coin.word());
        match self.window_secs {
            Some(window) => text += &format!("window_secs = {window}\n"),
            None => text += "lifetime = true\n",
        }
        if certified {
            text += &format!("ledger = \"{LEDGER}\"\n");
        }
        if let Some(amount) = self.amount {
            text += &format!("max_amount = \"{amount}\"\n");
            text += &if certified { String::new() } else { format!("split_amount = \"{amount}\"\n") };
        }
        if let Some(count) = self.count {
            text += &format!("max_count = {count}\n");
            text += &if certified { String::new() } else { format!("split_count = {count}\n") };
        }
        text
    }
}

impl Rule {
    pub(super) fn toml(&self) -> String {
        let verb = match self.verb {
            Verb::Allow => "allow",
            Verb::Require => "require",
            Verb::Deny => "deny",
        };
        let class = match self.class {
            Class::Transfer => "transfer",
            Class::Fee => "fee",
            Class::Allowance => "allowance",
            Class::Unknown => "unknown",
            Class::Message => "message",
        };
        let mut text = format!("[[rules]]\nname = \"{}\"\n{verb} = \"{class}\"\n", self.name);
        let mut line = |line: String| text += &(line + "\n");
        if let Some(coin) = self.coin {
            line(format!("asset = \"{}\"", coin.word()));
        }
        if let Some(more) = self.more_than {
            line(format!("more_than = \"{}\"", more * UNIT));
        }
        if let Some(most) = self.most {
            line(format!("max_amount = \"{}\"", most * UNIT));
        }
        if !self.requesters.is_empty() {
            let named: Vec<String> = self.requesters.iter().map(|requester| format!("\"r{requester}\"")).collect();
            line(format!("requesters = [{}]", named.join(", ")));
        }
        let list = |places: &[usize]| {
            places.iter().map(|place| format!("\"{}\"", DESTINATIONS[*place])).collect::<Vec<_>>().join(", ")
        };
        match &self.to {
            Where::Anywhere if self.verb == Verb::Allow && !matches!(self.class, Class::Fee | Class::Message) => {
                line("destinations = \"anywhere\"".to_owned());
            }
            Where::Anywhere => {}
            Where::Only(places) => line(format!("destinations = [{}]", list(places))),
            Where::Except(places) => line(format!("destinations_except = [{}]", list(places))),
        }
        if let Some(formula) = &self.approvals {
            line(format!("approvals = \"{formula}\""));
        }
        if self.delay_secs > 0 {
            line(format!("delay_secs = {}", self.delay_secs));
        }
        if self.from_first_sight {
            line("delay_from = \"first-sight\"".to_owned());
        }
        if !self.checks.is_empty() {
            let named: Vec<String> = self.checks.iter().map(|checker| format!("{:?}", CHECKERS[*checker])).collect();
            line(format!("checks = [{}]", named.join(", ")));
        }
        if self.not_by_requester {
            line("not_by_requester = true".to_owned());
        }
        text
    }
}
