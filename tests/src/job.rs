//! The jobs that tests run: small ones in which everything happens.

use crate::room::Room;

/// A job file and what is changed in it.
#[derive(Clone, Debug)]
pub struct Job {
    text: &'static str,
    name: String,
    sets: Vec<(String, String)>,
}

/// Known arithmetic over the real links. Every phase occurs, and the history is offered ten times what it holds.
const TOY: &str = r#"
kind = "train"
[data]
synthetic = "data/synthetic"
real = "data/real"
image = { size = [28, 28], channels = 1 }
[model]
preset = "toy"
[train]
seed = 11
batch = 32
lanes = 8
steps = 40
pretrain = { refiner = 3, discriminator = 3 }
history.size = 32
[output]
checkpoint_every = "1h"
checkpoint_steps = 10
"#;

/// SimGAN with everything it has (average, shift, spectral norm, Adam), as narrow as it can be.
const SIMGAN: &str = r#"
kind = "train"
[data]
synthetic = "data/synthetic"
real = "data/real"
[model]
preset = "digits"
refiner = { width = 4, blocks = 1 }
discriminator.layers = [{ conv = 3, stride = 2, maps = 4 }, { conv = 3, stride = 2, maps = 4 }, { conv = 1, maps = 2 }]
[train]
seed = 11
batch = 32
lanes = 8
steps = 24
pretrain = { refiner = 2, discriminator = 2 }
history.size = 32
[output]
checkpoint_every = "1h"
checkpoint_steps = 8
"#;

/// The preset as users get it, on small batches.
const DIGITS: &str = r#"
kind = "train"
[data]
synthetic = "data/synthetic"
real = "data/real"
[model]
preset = "digits"
[train]
seed = 11
batch = 16
lanes = 8
steps = 100
pretrain = { refiner = 2, discriminator = 2 }
history.size = 64
[output]
checkpoint_every = "1h"
checkpoint_steps = 500
"#;

impl Job {
    #[must_use]
    pub fn toy(name: &str) -> Self {
        Self { text: TOY, name: name.to_owned(), sets: vec![] }
    }

    #[must_use]
    pub fn simgan(name: &str) -> Self {
        Self { text: SIMGAN, name: name.to_owned(), sets: vec![] }
    }

    #[must_use]
    pub fn digits(name: &str) -> Self {
        Self { text: DIGITS, name: name.to_owned(), sets: vec![] }
    }

    #[must_use]
    pub fn set(mut self, path: &str, value: impl ToString) -> Self {
        self.sets.push((path.to_owned(), value.to_string()));
        self
    }

    /// It starts with `n` workers and never has another number.
    #[must_use]
    pub fn exactly(self, n: u32) -> Self {
        self.set("workers.min", n).set("workers.max", n)
    }

    #[must_use]
    pub fn at_most(self, n: u32) -> Self {
        self.set("workers.max", n)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes the job file; gives its name and a `--set` for each change, as `submit` and `up` take them.
    #[must_use]
    pub fn write(&self, room: &Room) -> Vec<String> {
        let file = format!("{}.toml", self.name);
        room.write(&file, format!("name = \"{}\"\n{}", self.name, self.text));
        let sets = self.sets.iter().flat_map(|(path, value)| ["--set".to_owned(), format!("{path}={value}")]);
        std::iter::once(file).chain(sets).collect()
    }

    /// Below the room.
    #[must_use]
    pub fn output(&self) -> String {
        format!("runs/{}", self.name)
    }
}
