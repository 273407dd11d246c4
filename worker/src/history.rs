//! The slots of the history buffer that this worker keeps: refined images of earlier steps, by lane (PAPER A2).
//!
//! The distributed history buffer *is* the union of the lanes' slots. Which slots are drawn and replaced is decided by
//! `sumac_common::history`; this file moves pixels, and packs them for guards, donors and checkpoints.
//! It refuses to know workers and weights.

use crate::{
    bytes::{Reader, Short, Writer},
    learner::Images,
};
use sumac_common::ids::{ContentId, Digest, Lane, SampleId, Step};

/// One lane's slots. Slot i is `ids[i]` with the i-th image of `pixels`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Slots {
    images: Images,
}

/// One lane's share of a step's history writes: image i goes to `slots[i]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Write {
    pub lane: Lane,
    pub slots: Vec<u32>,
    pub images: Images,
}

/// What a step will write into the history once it is committed: staged by its owner, kept by the owner's guard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Staged {
    pub step: Step,
    pub writes: Vec<Write>,
}

impl Slots {
    #[must_use]
    pub fn len(&self) -> usize {
        self.images.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Values in one image; 0 as long as there is none.
    fn stride(&self) -> usize {
        self.images.pixels.len() / self.images.len().max(1)
    }

    /// Copies of these slots, in this order.
    #[must_use]
    pub fn draw(&self, slots: &[u32]) -> Images {
        let stride = self.stride();
        let at = |slot: &u32| *slot as usize;
        Images {
            ids: slots.iter().map(|slot| self.images.ids[at(slot)]).collect(),
            pixels: slots
                .iter()
                .flat_map(|slot| self.images.pixels[at(slot) * stride..][..stride].iter().copied())
                .collect(),
        }
    }

    /// Takes over a committed write: slots in use are overwritten, the next free ones are filled.
    pub fn write(&mut self, write: &Write) {
        let stride = write.images.pixels.len() / write.images.len().max(1);
        for (i, slot) in write.slots.iter().map(|slot| *slot as usize).enumerate() {
            let pixels = &write.images.pixels[i * stride..][..stride];
            if slot < self.len() {
                self.images.ids[slot] = write.images.ids[i];
                self.images.pixels[slot * stride..][..stride].copy_from_slice(pixels);
            } else {
                assert_eq!(slot, self.len(), "free slots are filled in order: rules::history");
                self.images.ids.push(write.images.ids[i]);
                self.images.pixels.extend_from_slice(pixels);
            }
        }
    }

    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let mut out = Writer::default();
        pack_images(&self.images, &mut out);
        out.done()
    }

    pub fn unpack(bytes: &[u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let images = unpack_images(&mut reader)?;
        reader.end()?;
        Ok(Self { images })
    }

    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.pack())
    }
}

impl Staged {
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.u64(self.step.0);
        out.u64(self.writes.len() as u64);
        for write in &self.writes {
            out.u64(write.lane.0.into());
            out.u64(write.slots.len() as u64);
            write.slots.iter().for_each(|slot| out.u64((*slot).into()));
            pack_images(&write.images, &mut out);
        }
        out.done()
    }

    pub fn unpack(bytes: &[u8]) -> Result<Self, Short> {
        let mut reader = Reader::new(bytes);
        let step = Step(reader.u64()?);
        let writes = (0..reader.count(8)?).map(|_| {
            let lane = Lane(reader.u32()?);
            let slots = (0..reader.count(8)?).map(|_| reader.u32()).collect::<Result<_, _>>()?;
            Ok(Write { lane, slots, images: unpack_images(&mut reader)? })
        });
        let writes = writes.collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self { step, writes })
    }
}

fn pack_images(images: &Images, out: &mut Writer) {
    out.u64(images.ids.len() as u64);
    for id in &images.ids {
        out.u64(id.sample.0);
        out.u64(id.step.0);
    }
    out.f32s(&images.pixels);
}

fn unpack_images(reader: &mut Reader<'_>) -> Result<Images, Short> {
    let n = reader.count(16)?;
    let ids = (0..n)
        .map(|_| Ok(ContentId { sample: SampleId(reader.u64()?), step: Step(reader.u64()?) }))
        .collect::<Result<_, _>>()?;
    Ok(Images { ids, pixels: reader.f32s()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(ids: &[u64], step: u64) -> Images {
        let id = |sample: &u64| ContentId { sample: SampleId(*sample), step: Step(step) };
        Images {
            ids: ids.iter().map(id).collect(),
            pixels: ids.iter().flat_map(|i| [*i as f32, step as f32]).collect(),
        }
    }

    fn write(slots: &[u32], images: Images) -> Write {
        Write { lane: Lane(3), slots: slots.to_vec(), images }
    }

    #[test]
    fn a_write_fills_free_slots_and_then_replaces() {
        let mut slots = Slots::default();
        slots.write(&write(&[0, 1], images(&[10, 11], 1)));
        slots.write(&write(&[2, 0], images(&[12, 13], 2)));
        assert_eq!(slots.len(), 3);
        let drawn = slots.draw(&[0, 1, 2]);
        assert_eq!(drawn.ids.iter().map(|id| id.sample.0).collect::<Vec<_>>(), [13, 11, 12]);
        assert_eq!(drawn.pixels, [13.0, 2.0, 11.0, 1.0, 12.0, 2.0]);
    }

    #[test]
    fn packing_loses_nothing() {
        let mut slots = Slots::default();
        slots.write(&write(&[0, 1], images(&[5, 6], 9)));
        assert_eq!(Slots::unpack(&slots.pack()).unwrap(), slots);
        let staged = Staged { step: Step(7), writes: vec![write(&[4, 1], images(&[5, 6], 9)), Write::default()] };
        assert_eq!(Staged::unpack(&staged.pack()).unwrap(), staged);
    }

    #[test]
    fn bytes_cut_anywhere_are_refused_not_believed() {
        let staged = Staged { step: Step(7), writes: vec![write(&[4, 1], images(&[5, 6], 9))] };
        let packed = staged.pack();
        for end in 0..packed.len() {
            assert!(Staged::unpack(&packed[..end]).is_err(), "cut at {end}");
        }
    }
}
