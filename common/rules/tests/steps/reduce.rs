use proptest::prelude::*;
use std::{collections::BTreeMap, convert::Infallible};
use sumac_common::{
    ids::Rank,
    lanes,
    reduce::{Node, fold, subtrees, widest},
};

fn total(node: Node, known: impl Fn(Node) -> Option<f32>) -> f32 {
    let sum: Result<f32, Infallible> = fold(node, &mut |node| Ok(known(node)), &mut |a, b| Ok(a + b));
    let Ok(sum) = sum;
    sum
}

fn of_single_lanes(values: &[f32]) -> impl Fn(Node) -> Option<f32> {
    |node| node.lane().map(|lane| values[lane.0 as usize])
}

/// Values of very different size, so that the order of addition shows.
fn values() -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec((-1.0f32..1.0, -20i32..20).prop_map(|(value, power)| value * 2f32.powi(power)), 1..130)
}

proptest! {
    #[test]
    fn the_sum_is_the_same_however_the_lanes_are_split(values in values(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let lanes = values.len() as u32;
        let mut ends: Vec<u32> = cuts.iter().map(|cut| cut.index(values.len() + 1) as u32).chain([0, lanes]).collect();
        ends.sort_unstable();
        let mut sent = BTreeMap::new();
        for run in ends.windows(2) {
            for node in subtrees(run[0]..run[1], lanes) {
                sent.insert(node, total(node, of_single_lanes(&values)));
            }
        }
        let together = total(Node::whole(lanes), |node| sent.get(&node).copied());
        let alone = total(Node::whole(lanes), of_single_lanes(&values));
        prop_assert_eq!(together.to_bits(), alone.to_bits());
    }

    #[test]
    fn subtrees_cover_their_range_in_order_and_cannot_be_joined(lanes in 1u32..300, a: u32, b: u32) {
        let (a, b) = (a % (lanes + 1), b % (lanes + 1));
        let range = a.min(b)..a.max(b);
        let nodes = subtrees(range.clone(), lanes);
        prop_assert_eq!(nodes.iter().flat_map(|node| node.lanes()).collect::<Vec<_>>(), range.collect::<Vec<_>>());
        let mut open = vec![Node::whole(lanes)];
        while let Some(node) = open.pop() {
            if let Some((left, right)) = node.split() {
                prop_assert!(!(nodes.contains(&left) && nodes.contains(&right)), "{:?} is the sum of two that are sent", node);
                open.extend([left, right]);
            }
        }
    }

    #[test]
    fn a_node_splits_at_the_largest_power_of_two_below_it(first in 0u32..1 << 20, count in 2u32..1 << 20) {
        let (left, right) = Node { first, count }.split().expect("two lanes or more");
        prop_assert!(left.count.is_power_of_two() && left.count < count && 2 * left.count >= count);
        prop_assert_eq!((left.first, right.first), (first, first + left.count));
        prop_assert_eq!(left.count + right.count, count);
    }

    #[test]
    fn nobody_sends_more_than_the_widest(lanes in 1u32..200, workers in 1usize..40) {
        let sent: Vec<usize> = (0..workers).map(|rank| subtrees(lanes::owned(lanes, workers, Rank(rank as u32)), lanes).len()).collect();
        prop_assert_eq!(sent.iter().copied().max(), Some(widest(lanes, workers)));
    }
}

#[test]
fn addition_goes_left_to_right_and_down_first() {
    let sum: Result<String, Infallible> =
        fold(Node::whole(7), &mut |node| Ok(node.lane().map(|lane| lane.to_string())), &mut |a, b| {
            Ok(format!("({a}{b})"))
        });
    assert_eq!(sum, Ok("(((01)(23))((45)6))".to_owned()));
}

#[test]
fn another_order_gives_another_sum() {
    // Why all this. In f32, 2^24 + 1 is 2^24.
    let values = [2f32.powi(24), 1.0, 1.0, 1.0];
    let left_to_right: f32 = values.iter().fold(0.0, |sum, value| sum + value);
    assert_eq!((left_to_right, total(Node::whole(4), of_single_lanes(&values))), (16_777_216.0, 16_777_218.0));
}

#[test]
fn an_error_ends_the_addition() {
    let mut asked = Vec::new();
    let sum: Result<u32, &str> = fold(
        Node::whole(4),
        &mut |node| {
            asked.push((node.first, node.count));
            if node.first == 1 { Err("lane 1 is gone") } else { Ok(node.lane().map(|lane| lane.0)) }
        },
        &mut |a, b| Ok(a + b),
    );
    assert_eq!(sum, Err("lane 1 is gone"));
    assert_eq!(asked, [(0, 4), (0, 2), (0, 1), (1, 1)]);
}

#[test]
#[should_panic(expected = "lane 2 has no subtotal")]
fn a_missing_lane_is_a_bug_of_the_caller() {
    total(Node::whole(4), |node| node.lane().filter(|lane| lane.0 != 2).map(|_| 1.0));
}

#[test]
fn eight_lanes_over_three_workers_are_sent_in_five_sums() {
    let sent = |range| subtrees(range, 8).into_iter().map(|node| (node.first, node.count)).collect::<Vec<_>>();
    assert_eq!(sent(0..2), [(0, 2)]);
    assert_eq!(sent(2..5), [(2, 2), (4, 1)]);
    assert_eq!(sent(5..8), [(5, 1), (6, 2)]);
    assert_eq!(widest(8, 3), 2);
}
