//! What the figures of all cells say: means, paired differences with their 95% intervals, and how much of the gap is closed.
