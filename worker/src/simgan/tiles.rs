//! Which pieces of an image are refined on their own, so that a large one takes no more memory than a small one.
//!
//! A piece is a core and a *halo* around it. What a cut edge does to a network's maps reaches one convolution's radius further
//! with every layer, so under a halo of the whole network's radius it never reaches the core: what is kept of a piece is what
//! the whole image would have given. Pure arithmetic along one axis; refuses to know pixels and networks.

use std::ops::Range;

/// A piece along one axis, in pixels of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) seen: Range<usize>,
    /// Within `seen`; of all pieces together, every pixel once.
    pub(super) kept: Range<usize>,
}

/// Pieces of one length, in order: a core between two halos. The last is moved inwards rather than cut short; a length of no
/// more than that is one piece.
pub(super) fn cut(length: usize, core: usize, halo: usize) -> Vec<Piece> {
    assert!(core > 0, "a piece without a core keeps nothing");
    let seen = core + 2 * halo;
    let Some(room) = length.checked_sub(seen).filter(|&room| room > 0) else {
        return vec![Piece { seen: 0..length, kept: 0..length }];
    };
    let last = room.div_ceil(core);
    let mut begun = 0;
    (0..=last)
        .map(|piece| {
            let begin = (piece * core).min(room);
            let end = begin + seen;
            let kept = begun..if piece == last { length } else { end - halo };
            begun = kept.end;
            Piece { seen: begin..end, kept }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_one_length_keep_every_pixel_once_and_a_halo_at_every_cut() {
        for (core, halo) in [(1, 0), (1, 3), (4, 0), (5, 2), (256, 9)] {
            for length in (1..60).chain([core + 2 * halo, core + 2 * halo + 1, 3 * core + 2 * halo, 1_000]) {
                let pieces = cut(length, core, halo);
                let case = format!("{length} pixels, core {core}, halo {halo}: {pieces:?}");
                let kept: Vec<usize> = pieces.iter().flat_map(|piece| piece.kept.clone()).collect();
                assert_eq!(kept, (0..length).collect::<Vec<_>>(), "{case}");
                for Piece { seen, kept } in &pieces {
                    assert_eq!(seen.len(), length.min(core + 2 * halo), "{case}");
                    assert!(seen.start == 0 || kept.start >= seen.start + halo, "{case}");
                    assert!(seen.end == length || kept.end + halo <= seen.end, "{case}");
                    assert!(!kept.is_empty() && kept.end <= seen.end, "{case}");
                }
            }
        }
    }

    #[test]
    fn what_fits_one_piece_is_not_cut() {
        assert_eq!(cut(274, 256, 9).len(), 1);
        assert_eq!(cut(275, 256, 9).len(), 2);
    }
}
