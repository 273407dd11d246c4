//! How much is in flight at once. Knows numbers of images and bytes, not what becomes of them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What may be in flight at once, between reading and writing. One image always may, however large it is, so that the most
/// there is at once is `bytes` and one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// At least 1.
    pub images: usize,
    /// Of encoded and decoded images and their labels.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { images: 256, bytes: 1 << 30 }
    }
}

impl Limits {
    /// Half of each: who holds images back holds no more than this, so that there is room for what it waits for.
    pub(super) fn halved(self) -> Self {
        Self { images: (self.images / 2).max(1), bytes: (self.bytes / 2).max(1) }
    }
}

/// Most that was in flight at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peak {
    pub images: usize,
    pub bytes: u64,
}

#[derive(Debug)]
pub(super) struct Room {
    limits: Limits,
    inside: Mutex<Inside>,
    left: Condvar,
}

#[derive(Debug, Default)]
struct Inside {
    images: usize,
    bytes: u64,
    peak: Peak,
    closed: bool,
}

/// One image's place; it is free again when this goes.
#[derive(Debug)]
pub(super) struct Place {
    room: Arc<Room>,
    bytes: u64,
}

impl Room {
    pub(super) fn of(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, inside: Mutex::default(), left: Condvar::new() })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // Plain data: a panic elsewhere leaves nothing half done in it.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for an image of so many bytes; `None` when the room is closed. One thread at a time enters.
    pub(super) fn enter(self: &Arc<Self>, bytes: u64) -> Option<Place> {
        let Limits { images, bytes: most } = self.limits;
        // What is held back never fills more than the other half.
        let asked = bytes.min(most / 2);
        let is_full = |inside: &mut Inside| {
            !inside.closed && inside.images > 0 && (inside.images >= images || inside.bytes + asked > most)
        };
        let mut inside = self.left.wait_while(self.inside(), is_full).unwrap_or_else(PoisonError::into_inner);
        if inside.closed {
            return None;
        }
        inside.images += 1;
        inside.bytes += bytes;
        inside.peak =
            Peak { images: inside.peak.images.max(inside.images), bytes: inside.peak.bytes.max(inside.bytes) };
        Some(Place { room: Arc::clone(self), bytes })
    }

    /// Nobody enters any more.
    pub(super) fn close(&self) {
        self.inside().closed = true;
        self.left.notify_all();
    }

    pub(super) fn peak(&self) -> Peak {
        self.inside().peak
    }
}

impl Place {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.room.inside();
        inside.images -= 1;
        inside.bytes -= self.bytes;
        drop(inside);
        self.room.left.notify_all();
    }
}
