//! The words a job file has for its choices, once for reading and for writing.
//!
//! They are the words serde uses as well (a test compares them), so a spec reads the same in TOML and in JSON.

use super::{
    Device, Labels, Precision, Psi, Resize,
    model::{Activation, Matching, Padding, Preset, RefinerOutput},
};

/// A closed choice with a word for each of its values.
pub(super) trait Choice: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];

    fn word(self) -> &'static str {
        let (word, _) =
            Self::WORDS.iter().find(|(_, value)| *value == self).expect("every value has its word: the test below");
        word
    }

    fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
    }

    fn words() -> Vec<&'static str> {
        Self::WORDS.iter().map(|(word, _)| *word).collect()
    }
}

macro_rules! words {
    ($($choice:ident { $($word:literal = $value:ident),* $(,)? })*) => {
        $(impl Choice for $choice {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$value)),*];
        })*

        #[cfg(test)]
        mod tests {
            use super::*;

            #[test]
            fn every_word_is_also_serdes_and_every_value_has_one() {
                $(
                    for (word, value) in $choice::WORDS {
                        assert_eq!(serde_json::to_string(value).unwrap(), format!("\"{word}\""));
                        // A value without a word does not compile.
                        match value { $($choice::$value => {})* }
                    }
                )*
            }
        }
    };
}

words! {
    Preset {
        "paper-eyes" = PaperEyes, "paper-hands" = PaperHands, "digits" = Digits, "small-colour" = SmallColour,
        "small-colour-matched" = SmallColourMatched, "toy" = Toy
    }
    RefinerOutput { "tanh" = Tanh, "residual" = Residual }
    Matching { "none" = None, "image" = Image }
    Padding { "zeros" = Zeros, "replicate" = Replicate }
    Activation { "relu" = Relu, "leaky-relu" = LeakyRelu }
    Resize { "exact" = Exact, "area" = Area, "crop" = Crop }
    Labels { "optional" = Optional, "required" = Required }
    Psi { "identity" = Identity, "gradients" = Gradients, "channel-mean" = ChannelMean, "low-pass" = LowPass, "standardised" = Standardised }
    Precision { "f32" = F32, "tf32" = Tf32, "bf16" = Bf16 }
    Device { "auto" = Auto, "cpu" = Cpu, "cuda" = Cuda }
}
