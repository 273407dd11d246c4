//! The sessions of `docs/tour.md`, as they are written there, one after the other in a folder of their own.

#[test]
fn the_tour_says_what_the_commands_say() {
    let tour = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tour/tour.md");
    trycmd::TestCases::new().case(tour).env("NO_COLOR", "1");
}
