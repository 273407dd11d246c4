//! SGD with momentum and Adam, on flat vectors. Knows nothing of networks and lanes.

use sumac_common::{
    ids::Step,
    spec::{self, OptimizerKind},
};
use tch::{TchError, Tensor};

/// One network's optimiser. Arithmetic and order of operations are PyTorch's.
pub(crate) struct Optimizer {
    spec: spec::Optimizer,
    /// Updates so far: what Adam's bias correction counts.
    pub(crate) updates: u64,
    /// The state's vectors, as long as the weights, in the order of [`names`](Self::names).
    pub(crate) moments: Vec<Tensor>,
}

impl Optimizer {
    pub(crate) fn new(spec: &spec::Optimizer, weights: &Tensor) -> Result<Self, TchError> {
        let moments = names(spec.kind).iter().map(|_| weights.f_zeros_like()).collect::<Result<_, _>>()?;
        Ok(Self { spec: spec.clone(), updates: 0, moments })
    }

    /// What the vectors of the state are called in a saved state.
    pub(crate) fn names(&self) -> &'static [&'static str] {
        names(self.spec.kind)
    }

    /// The learning rate in force at a step of the whole run.
    pub(crate) fn rate(&self, step: Step) -> f64 {
        let passed = self.spec.decay.iter().take_while(|(from, _)| *from <= step);
        passed.last().map_or(self.spec.lr, |&(_, lr)| lr)
    }

    /// Moves `weights` down along `gradient`, both `[len]`.
    pub(crate) fn update(&mut self, weights: &mut Tensor, gradient: &Tensor, step: Step) -> Result<(), TchError> {
        let rate = self.rate(step);
        self.updates += 1;
        let descent = match (self.spec.kind, &mut self.moments[..]) {
            (OptimizerKind::Sgd { momentum }, [velocity]) => {
                velocity.f_mul_scalar_(momentum)?.f_add_(gradient)?.f_mul_scalar(rate)?
            }
            (OptimizerKind::Adam { beta1, beta2, epsilon }, [mean, square]) => {
                let _ = mean.f_mul_scalar_(beta1)?.f_add_(&gradient.f_mul_scalar(1.0 - beta1)?)?;
                let _ = square.f_mul_scalar_(beta2)?.f_add_(&gradient.f_square()?.f_mul_scalar(1.0 - beta2)?)?;
                // The averages start at zero: without this correction the first steps would be far too short.
                let (mean_weight, square_weight) = (1.0 - power(beta1, self.updates), 1.0 - power(beta2, self.updates));
                let spread = square.f_sqrt()?.f_div_scalar(square_weight.sqrt())?.f_add_scalar(epsilon)?;
                mean.f_div(&spread)?.f_mul_scalar(rate / mean_weight)?
            }
            _ => gradient.f_mul_scalar(rate)?,
        };
        let _ = weights.f_sub_(&descent)?;
        Ok(())
    }
}

fn names(kind: OptimizerKind) -> &'static [&'static str] {
    match kind {
        OptimizerKind::Sgd { momentum: 0.0 } => &[],
        OptimizerKind::Sgd { .. } => &["momentum"],
        OptimizerKind::Adam { .. } => &["exp_avg", "exp_avg_sq"],
    }
}

/// base^exponent by squaring: a C library's `pow` may differ in the last bit from another's, and so would the weights.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut product = 1.0;
    while exponent > 0 {
        if exponent & 1 == 1 {
            product *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    product
}
