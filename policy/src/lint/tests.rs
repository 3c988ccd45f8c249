use super::*;

const SAMPLE: &str = include_str!("../../development.sample.toml");

fn found(edits: &[(&str, &str)]) -> Vec<String> {
    let mut text = SAMPLE.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let charter = Charter::from_toml(&text).unwrap();
    lint(&charter).into_iter().map(|one| format!("{:?} {}: {}", one.severity, one.place, one.message)).collect()
}

fn finds(edits: &[(&str, &str)], what: &str) {
    let found = found(edits);
    assert!(found.iter().any(|line| line.contains(what)), "{what} is not among {found:#?}");
}

/// The sample asks "1 of risk", and carla is the only one: that is what the tool is for.
#[test]
fn the_sample_has_the_one_weakness_that_it_has() {
    let found = found(&[]);
    assert_eq!(
        found,
        [
            "Error governance.quorum: if carla is gone nobody can meet `2 of treasury and 1 of risk`: there is no way back"
        ]
    );
    let mended = [
        ("members = [\"carla\"]", "members = [\"carla\", \"dora\"]"),
        ("members = [\"anna\", \"boris\", \"dora\"]", "members = [\"anna\", \"boris\", \"dora\", \"carla\"]"),
    ];
    assert!(self::found(&mended).is_empty(), "{:?}", self::found(&mended));
}

#[test]
fn formulas_that_nobody_can_meet() {
    // carla has no terminal
    finds(&[("then 1 of risk", "then 1 terminal of risk")], "Error rule \"delegation\": nobody can meet");
    // two groups of the same two people do not make four
    finds(
        &[("members = [\"carla\"]", "members = [\"anna\", \"boris\", \"dora\"]"), ("then 1 of risk", "then 2 of risk")],
        "Error rule \"delegation\": nobody can meet",
    );
    let alone = [("(1 terminal of treasury and 1 of risk) or 2 of treasury", "3 of treasury")];
    finds(&alone, "without the people behind requester backend nobody can meet");
}

#[test]
fn people_who_reach_too_far() {
    finds(
        &[("quorum = \"2 of treasury and 1 of risk\"", "quorum = \"1 of risk\"")],
        "carla alone can meet `1 of risk`",
    );
    finds(&[("unfreeze = \"2 of treasury\"", "unfreeze = \"1 of treasury\"")], "Error governance.unfreeze: anna alone");
    let one = [("approvals = \"2 terminal of treasury\"", "approvals = \"1 terminal of treasury\"")];
    finds(&one, "Error rule \"reserve to venues\": anna alone can move what vault reserve holds");
    finds(&[("not_by_requester = true\n", "")], "dora is behind requester backend and approves");
}

#[test]
fn vaults_that_are_not_guarded() {
    let none = [(
        "approvals = \"2 terminal of treasury\"\ndelay_secs = 86400\nnot_by_requester = true\n",
        "delay_secs = 86400\n",
    )];
    finds(&none, "Error rule \"reserve to venues\": vault reserve is Cold, but nobody approves");
    let passkeys = [("approvals = \"2 terminal of treasury\"", "approvals = \"2 of treasury\"")];
    finds(&passkeys, "Warning rule \"reserve to venues\": vault reserve can be moved by passkeys alone");
}

#[test]
fn places_that_reach_two_signers() {
    let same = [("id = \"signer-2\"\n", "id = \"signer-2\"\nsite = \"zurich\"\naccount = \"own-rack\"\n")];
    finds(&same, "Error nodes: site zurich reaches 2 signers");
    finds(&same, "Error nodes: account own-rack reaches 2 signers");
}

/// Five of nine validators stood with one company, and one of them signed on an allowance that nobody had taken back.
#[test]
fn ronin_2022_one_company_reaches_the_threshold() {
    let company = [("id = \"signer-3\"\n", "id = \"signer-3\"\naccount = \"own-rack\"\n")];
    finds(&company, "Error nodes: account own-rack reaches 2 signers: enough for every key that needs so many");
}

/// Every node ran in the cloud account of one man, and stood still when he was gone.
#[test]
fn multichain_2023_all_nodes_in_one_account() {
    let his = [
        ("id = \"signer-2\"\n", "id = \"signer-2\"\naccount = \"own-rack\"\n"),
        ("id = \"signer-3\"\n", "id = \"signer-3\"\naccount = \"own-rack\"\n"),
    ];
    finds(&his, "Error nodes: account own-rack reaches 3 signers: enough for every key that needs so many");
}

#[test]
fn ledgers_that_stop_too_easily_and_limits_that_nobody_counts() {
    let three = [
        ("\"signer-3\", \"witness-1\"]", "\"signer-3\"]"),
        (
            "[[coordinators]]",
            "[[ledgers]]\nid = \"idle\"\nmembers = [\"witness-1\"]\nquorum = 1\ncorrupt = 0\n[[coordinators]]",
        ),
    ];
    finds(
        &three,
        "Warning ledger main: 0 of its 3 members may be down, fewer than the 1 that may be corrupt: 4 members",
    );
    finds(&three, "Warning ledger idle: corrupt = 0 believes every single member");
    let never = "what it counts is never signed";
    finds(&[("ledger = \"main\"\n", "split_count = 100\n")], never);
    finds(&[("ledger = \"main\"\n", "split_amount = \"200000\"\n")], never);
}

#[test]
fn what_counts_once_has_a_ledger() {
    let sample = crate::charter::tests::without_ceiling();
    let unclaimed = lint(&Charter::from_toml(&sample.replacen("claims = \"main\"\n", "", 1)).unwrap());
    assert!(unclaimed.iter().any(|one| one.place == "claims" && one.message.contains("keeps idempotency keys")));
    for part in ["split_amount = \"1\"", "split_count = 1"] {
        let aside = format!("ledger = \"main\"\n{part}\n");
        finds(&[("ledger = \"main\"\n", &aside)], "Warning limit usdt-a-day: every request needs a certificate");
    }
    // Where a key has one signer set only, nobody else can sign for the same number.
    let third = sample.find("[[nodes]]\nid = \"signer-3\"").unwrap();
    let end = third + sample[third..].find("\n\n").unwrap();
    let two = format!("{}{}", &sample[..third], &sample[end..]).replace("claims = \"main\"\n", "");
    let two = two.replace("\"signer-2\", \"signer-3\", \"witness-1\"]", "\"signer-2\", \"witness-1\"]");
    let found = lint(&Charter::from_toml(&two).unwrap());
    assert!(found.iter().all(|one| one.place != "claims"), "{found:?}");
}

#[test]
fn slips_of_the_pen() {
    let group = [("[groups.risk]", "[groups.idle]\nmembers = [\"anna\"]\n\n[groups.risk]")];
    finds(&group, "Warning group idle: no formula names it");
    let coins = [("[assets.eth]", "[asset_groups.coins]\nassets = [\"eth\"]\ndecimals = 18\n\n[assets.eth]")];
    finds(&coins, "Warning asset group coins: no rule and no limit names it");
    let limit = [("max_amount = \"1000000\"", "max_amount = \"250000\"")];
    finds(&limit, "Warning rule \"usdt to known addresses\": it allows more in one request than limit usdt-a-day");
    finds(&[("loosening_delay_secs = 86400", "loosening_delay_secs = 0")], "nobody has time to object");
    let never = [("automatic_freeze = { refused = 20, within_secs = 3600 }\n", "")];
    finds(&never, "Warning governance.automatic_freeze: without it whoever stole a requester's key");
    finds(&[("refused = 20", "refused = 1")], "Warning governance.automatic_freeze: one denied request freezes");
}

#[test]
fn ceilings_that_see_nothing() {
    finds(
        &[("vault = \"hot\"\n\n# So much", "\n# So much")],
        "Error ceiling hot-usdt: no entry of the address book says vault = \"hot\"",
    );
    let anywhere = ("destinations = [\"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"]", "destinations = \"anywhere\"");
    finds(&[anywhere], "Warning rule \"usdt to known addresses\": it pays anywhere, also to addresses of vault hot");
}

/// The sample of a house in three sites.
#[test]
fn the_sample_of_three_sites_has_no_finding_and_no_site_too_many() {
    let text = include_str!("../../../deploy/sample/charter.toml");
    let charter = Charter::from_toml(text).unwrap();
    assert!(!charter.is_development());
    assert_eq!(lint(&charter), []);
    let sites: BTreeSet<_> = charter.machines().map(|machine| machine.site.clone().unwrap()).collect();
    assert_eq!(sites.len(), charter.machines().count(), "no site holds two machines");
    for keepers in charter.ledgers.values() {
        // N >= 3f + 1, and any one site may be away.
        assert!(keepers.stays_available_with_f_down() && keepers.may_be_down() >= 1, "{keepers:?}");
    }
}
