//! The Fréchet distance between two clouds of features, each taken for a Gaussian (Heusel et al. 2017). In f64. Knows nothing
//! of where features come from.

use tch::{Kind, Tensor};

/// |m_a - m_b|² + tr(A + B - 2 (A B)^½) of the clouds `[n, d]` and `[m, d]` with means m and covariances A and B.
#[must_use]
pub fn frechet_distance(a_nd: &Tensor, b_md: &Tensor) -> f64 {
    let ((mean_a, cov_a), (mean_b, cov_b)) = (moments(a_nd), moments(b_md));
    let apart = (mean_a - mean_b).square().sum(Kind::Double);
    // A½ B A½ is symmetric and has the eigenvalues of A B, so the trace of the root is the sum of their roots.
    let root_a = root(&cov_a);
    let product = root_a.matmul(&cov_b).matmul(&root_a);
    let values = ((&product + product.tr()) / 2.0).linalg_eigvalsh("L");
    let shared = values.clamp_min(0.0).sqrt().sum(Kind::Double);
    (apart + cov_a.trace() + cov_b.trace() - shared * 2.0).double_value(&[])
}

/// Mean `[d]` and covariance `[d, d]`.
fn moments(cloud_nd: &Tensor) -> (Tensor, Tensor) {
    let cloud = cloud_nd.to_kind(Kind::Double);
    let mean = cloud.mean_dim([0].as_slice(), false, Kind::Double);
    let centred = &cloud - &mean;
    let covariance = centred.tr().matmul(&centred) / (cloud.size()[0] - 1) as f64;
    (mean, covariance)
}

/// Of a covariance: rounding leaves eigenvalues a little below zero where a feature never varies.
fn root(covariance_dd: &Tensor) -> Tensor {
    let (values, vectors) = covariance_dd.linalg_eigh("L");
    (&vectors * values.clamp_min(0.0).sqrt()).matmul(&vectors.tr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sumac_common::{
        ids::{Lane, Step},
        random::{self, Stream},
    };

    fn cloud(n: i64, d: i64) -> Tensor {
        let mut chance = random::stream(1, Stream::Init, Lane(2), Step(0));
        let drawn: Vec<f64> = (0..n * d).map(|_| f64::from(random::uniform(&mut chance))).collect();
        Tensor::from_slice(&drawn).view([n, d])
    }

    #[track_caller]
    fn assert_near(found: f64, wanted: f64) {
        assert!((found - wanted).abs() < 1e-9 * wanted.abs().max(1.0), "{found}, wanted {wanted}");
    }

    #[test]
    fn a_cloud_is_no_way_from_itself_and_as_far_as_it_is_moved() {
        let here = cloud(300, 6);
        assert_near(frechet_distance(&here, &here), 0.0);
        assert_near(frechet_distance(&here, &(&here + 0.5)), 6.0 * 0.25);
    }

    /// Of k times as wide a cloud around the same centre the distance is (k - 1)² tr(A).
    #[test]
    fn a_wider_cloud_is_as_far_as_its_spread_says() {
        let here = cloud(300, 6);
        let (centre, covariance) = moments(&here);
        let wider = (&here - &centre) * 3.0 + &centre;
        assert_near(frechet_distance(&here, &wider), 4.0 * covariance.trace().double_value(&[]));
    }

    /// Of diagonal covariances it is the sum of the squared differences of the deviations.
    #[test]
    fn a_turned_cloud_of_equal_centre_is_away() {
        let flat = |a: f64, b: f64| Tensor::from_slice(&[a, 0.0, -a, 0.0, 0.0, b, 0.0, -b]).view([4, 2]);
        let deviation = |side: f64| (2.0 * side * side / 3.0).sqrt();
        let wanted = 2.0 * (deviation(1.0) - deviation(5.0)).powi(2);
        assert_near(frechet_distance(&flat(1.0, 5.0), &flat(5.0, 1.0)), wanted);
    }

    #[test]
    fn a_feature_that_never_varies_does_no_harm() {
        let here = Tensor::cat(&[cloud(300, 6), Tensor::zeros([300, 2], (Kind::Double, tch::Device::Cpu))], 1);
        assert_near(frechet_distance(&here, &here), 0.0);
        assert_near(frechet_distance(&here, &(&here * 1.0 + 1.0)), 8.0);
    }
}
