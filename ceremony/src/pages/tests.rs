use limen_policy::ceremony::{Attendance, Plan};

use super::{escape, script};

/// The modules of each picture of a page as a camera sees them, with what the page says of it.
fn pictures(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for svg in page.split("<svg ").skip(1) {
        let between =
            |before: &str, after: &str| svg.split_once(before).unwrap().1.split_once(after).unwrap().0.to_owned();
        let side: usize = between("viewBox=\"0 0 ", " ").parse().unwrap();
        let dark: std::collections::BTreeSet<(usize, usize)> = between("<path d=\"", "\"")
            .split('M')
            .skip(1)
            .map(|module| {
                let (x, y) = module.strip_suffix("h1v1h-1z").unwrap().split_once(' ').unwrap();
                (x.parse().unwrap(), y.parse().unwrap())
            })
            .collect();
        const ZOOM: usize = 4;
        let mut seen = rqrr::PreparedImage::prepare_from_greyscale(side * ZOOM, side * ZOOM, |x, y| {
            if dark.contains(&(x / ZOOM, y / ZOOM)) { 0 } else { 255 }
        });
        let grids = seen.detect_grids();
        assert_eq!(grids.len(), 1);
        found.push((between("aria-label=\"QR code of ", "\""), grids[0].decode().unwrap().1));
    }
    found
}

#[test]
fn what_a_camera_reads_off_the_script_is_what_stands_beside_it() {
    let plan = Plan::from_toml(include_str!("../../../docs/ceremonies/genesis.toml")).unwrap();
    let page = script(&plan, &Attendance::full(&plan).unwrap());
    let charter = plan.charter().unwrap();
    let expected = [format!("limen:plan:{}", plan.hash()), format!("limen:charter:{charter}")];
    let read: Vec<String> = pictures(&page)
        .into_iter()
        .map(|(label, read)| {
            assert_eq!(label, escape(&read));
            read
        })
        .collect();
    assert_eq!(read, expected);
}
