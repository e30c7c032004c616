//! The network that compares two texts token by token.
//!
//! Every token of one text is put beside a mixture of those tokens of the other that are most like it
//! (decomposable attention: Parikh et al., EMNLP 2016). The result passes through transformer blocks over
//! both texts and is reduced to one number. It is symmetric: exchanging the asked and the cached text makes
//! no difference.
//!
//! Most of the time goes into products with the weights, which `rten-gemm` computes. It divides them among the
//! threads of the current rayon pool and packs weights for their number, so weights are read and used in one
//! pool; one of one thread is the quickest for texts this short.
//!
//! Pure: weights in, logit out. The names of the weights are those of `models/training/network.py`.

use std::fmt;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Zip, concatenate, s};
use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::NdTensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, ErrorKind, Result};
use crate::tokens::TokenStates;

/// The number that a normalisation adds to a variance, as in training.
const EPSILON: f32 = 1e-5;

/// Attention heads of the block.
const HEADS: usize = 4;

thread_local! {
    /// What multiplies matrices on this thread.
    static PRODUCTS: GemmExecutor<f32, f32, f32> = GemmExecutor::new();
}

/// `x · weight + bias`, rows of `x` by rows of the result.
struct Linear {
    /// Inputs × outputs, in the order in which the product reads them: packing takes longer than one product.
    weight: PackedBMatrix<f32>,
    bias: Array1<f32>,
}

impl Linear {
    fn new(weight: &Array2<f32>, bias: Array1<f32>) -> Self {
        Self { weight: PRODUCTS.with(|products| products.prepack_b(tensor(weight))), bias }
    }

    fn of(&self, x: &Array2<f32>) -> Array2<f32> {
        let mut sums = Array2::zeros((x.nrows(), self.bias.len()));
        let bias = self.bias.as_slice().map(BiasVector::Row);
        let into = sums.as_slice_mut().expect("a new array is in one piece");
        let (x, weight) = (GemmInputA::Unpacked(tensor(x)), GemmInputB::Packed(&self.weight));
        let options = GemmOptions { bias, ..GemmOptions::default() };
        let done = PRODUCTS.with(|products| products.gemm(into, x, weight, options));
        done.expect("the shapes were checked when the weights were read");
        sums
    }
}

impl fmt::Debug for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linear").field("bias", &self.bias).finish_non_exhaustive()
    }
}

/// A view of `matrix` for `rten-gemm`.
fn tensor(matrix: &Array2<f32>) -> NdTensorView<'_, f32, 2> {
    let numbers = matrix.as_slice().expect("all are made row by row");
    NdTensorView::from_data([matrix.nrows(), matrix.ncols()], numbers)
}

/// Layer normalisation.
#[derive(Debug)]
struct Norm {
    weight: Array1<f32>,
    bias: Array1<f32>,
}

impl Norm {
    fn of(&self, mut x: Array2<f32>) -> Array2<f32> {
        for mut row in x.rows_mut() {
            let mean = row.sum() / row.len() as f32;
            row -= mean;
            let scale = (row.dot(&row) / row.len() as f32 + EPSILON).sqrt().recip();
            Zip::from(&mut row)
                .and(&self.weight)
                .and(&self.bias)
                .for_each(|x, &weight, &bias| *x = *x * scale * weight + bias);
        }
        x
    }
}

/// Self-attention and a feed-forward layer, each with its residual.
#[derive(Debug)]
struct Block {
    qkv: Linear,
    out: Linear,
    inner: Linear,
    outer: Linear,
    after_attention: Norm,
    after_feed_forward: Norm,
}

impl Block {
    fn of(&self, x: Array2<f32>) -> Array2<f32> {
        let width = x.ncols();
        let each = width / HEADS;
        let scale = (each as f32).sqrt().recip();
        let qkv = self.qkv.of(&x);
        let mut seen = Array2::zeros(x.raw_dim());
        for head in 0..HEADS {
            let part = |third: usize| {
                let from = third * width + head * each;
                qkv.slice(s![.., from..from + each])
            };
            let mut shares = part(0).dot(&part(1).t()) * scale;
            softmax(&mut shares);
            seen.slice_mut(s![.., head * each..(head + 1) * each]).assign(&shares.dot(&part(2)));
        }
        let x = self.after_attention.of(x + self.out.of(&seen));
        let inner = self.inner.of(&x).mapv_into(gelu);
        self.after_feed_forward.of(x + self.outer.of(&inner))
    }
}

/// The network with its weights.
#[derive(Debug)]
pub(super) struct Head {
    align: Linear,
    /// How strongly the best match outweighs the others.
    sharpness: f32,
    compare: Linear,
    after_compare: Norm,
    blocks: Vec<Block>,
    attention: Linear,
    hidden: Linear,
    out: Linear,
}

impl Head {
    /// The network with the weights in `bytes`, a file in the safetensors format.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if it is not such a file, or if a weight is missing or has another shape.
    pub(super) fn read(bytes: &[u8]) -> Result<Self> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| {
            Error::new(ErrorKind::Model, "the comparer's weights cannot be read").with_source(error)
        })?;
        let weights = Weights { tensors };
        let width = weights.numbers("lnc.weight")?.len();
        if width == 0 || !width.is_multiple_of(HEADS) {
            return Err(bad("lnc.weight"));
        }
        Ok(Self {
            align: Linear::new(&weights.matrix("align", width, width)?, Array1::zeros(width)),
            sharpness: weights.vector("temp", 1)?[0].exp(),
            compare: weights.linear("compare", 4 * width + 1, width)?,
            after_compare: weights.norm("lnc", width)?,
            blocks: weights.blocks(width)?,
            attention: weights.linear("att", width, 1)?,
            hidden: weights.linear("out.0", 4 * width + 1, width)?,
            out: weights.linear("out.2", width, 1)?,
        })
    }

    /// How wide the token states are.
    pub(super) fn width(&self) -> usize {
        self.align.bias.len()
    }

    /// The log-odds that one answer serves both texts, according to the network.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Model`] if the states have the width of another model.
    pub(super) fn logit(&self, asked: &TokenStates, cached: &TokenStates) -> Result<f32> {
        let (a, b) = (self.rows(asked)?, self.rows(cached)?);
        let similarity = unit(self.align.of(&a)).dot(&unit(self.align.of(&b)).t());
        let sides = [self.side(&a, &b, &similarity.view()), self.side(&b, &a, &similarity.t())];
        let both = concatenate![Axis(0), sides[0], sides[1]];
        let compared = self.after_compare.of(self.compare.of(&both).mapv_into(gelu));
        let x = self.blocks.iter().fold(compared, |x, block| block.of(x));

        let mut shares = self.attention.of(&x).reversed_axes();
        softmax(&mut shares);
        let attended = shares.dot(&x).remove_axis(Axis(0));
        let mean = x.sum_axis(Axis(0)) / x.nrows() as f32;
        let (a, b) = (ArrayView1::from(asked.identity()), ArrayView1::from(cached.identity()));
        let scale = (self.width() as f32).sqrt();
        let product = &a * &b;
        let cosine = Array1::from_elem(1, product.sum());
        let distance = (&a - &b).mapv_into(f32::abs);
        let all = concatenate![Axis(0), attended, mean, product * scale, distance * scale, cosine];
        let hidden = self.hidden.of(&all.insert_axis(Axis(0))).mapv_into(gelu);
        Ok(self.out.of(&hidden)[(0, 0)])
    }

    fn rows(&self, text: &TokenStates) -> Result<Array2<f32>> {
        if text.width() != self.width() {
            let message = format!("token states are {} wide, expected {}", text.width(), self.width());
            return Err(Error::new(ErrorKind::Model, message));
        }
        Array2::from_shape_vec((text.tokens(), self.width()), text.states())
            .map_err(|error| Error::new(ErrorKind::Model, "token states are not whole").with_source(error))
    }

    /// The features of each token of `of` beside `other`: the token itself, what it is put beside, how both
    /// differ and agree, and how well its best match fits.
    fn side(&self, of: &Array2<f32>, other: &Array2<f32>, similarity: &ArrayView2<'_, f32>) -> Array2<f32> {
        let best =
            similarity.map_axis(Axis(1), |row| row.fold(f32::NEG_INFINITY, |best, &value| best.max(value)));
        let mut shares = similarity * self.sharpness;
        softmax(&mut shares);
        let beside = shares.dot(other);
        let distance = (of - &beside).mapv_into(f32::abs);
        let product = of * &beside;
        concatenate![Axis(1), of.view(), beside, distance, product, best.insert_axis(Axis(1))]
    }
}

/// The tensors of a file.
struct Weights<'a> {
    tensors: SafeTensors<'a>,
}

impl Weights<'_> {
    fn numbers(&self, name: &str) -> Result<Vec<f32>> {
        let tensor = self.tensors.tensor(name).map_err(|error| bad(name).with_source(error))?;
        if tensor.dtype() != Dtype::F32 {
            return Err(bad(name));
        }
        let (numbers, rest) = tensor.data().as_chunks::<4>();
        let numbers: Vec<f32> = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        if rest.is_empty() && numbers.iter().all(|number| number.is_finite()) {
            Ok(numbers)
        } else {
            Err(bad(name))
        }
    }

    fn vector(&self, name: &str, length: usize) -> Result<Array1<f32>> {
        let numbers = self.numbers(name)?;
        if numbers.len() == length { Ok(numbers.into()) } else { Err(bad(name)) }
    }

    /// The weight of a layer; the file stores it the other way round, as outputs × inputs.
    fn matrix(&self, layer: &str, inputs: usize, outputs: usize) -> Result<Array2<f32>> {
        let name = format!("{layer}.weight");
        let stored = Array2::from_shape_vec((outputs, inputs), self.numbers(&name)?)
            .map_err(|error| bad(&name).with_source(error))?;
        // Transposed, so that products read rows one after the other.
        Ok(stored.t().as_standard_layout().into_owned())
    }

    fn linear(&self, layer: &str, inputs: usize, outputs: usize) -> Result<Linear> {
        let weight = self.matrix(layer, inputs, outputs)?;
        Ok(Linear::new(&weight, self.vector(&format!("{layer}.bias"), outputs)?))
    }

    /// As many blocks as the file has weights for, at least one.
    fn blocks(&self, width: usize) -> Result<Vec<Block>> {
        let mut blocks = Vec::new();
        while blocks.is_empty() || self.tensors.tensor(&format!("blocks.{}.qkv.weight", blocks.len())).is_ok()
        {
            let name = format!("blocks.{}", blocks.len());
            blocks.push(Block {
                qkv: self.linear(&format!("{name}.qkv"), width, 3 * width)?,
                out: self.linear(&format!("{name}.o"), width, width)?,
                inner: self.linear(&format!("{name}.i"), width, 4 * width)?,
                outer: self.linear(&format!("{name}.f"), 4 * width, width)?,
                after_attention: self.norm(&format!("{name}.ln1"), width)?,
                after_feed_forward: self.norm(&format!("{name}.ln2"), width)?,
            });
        }
        Ok(blocks)
    }

    fn norm(&self, layer: &str, width: usize) -> Result<Norm> {
        let weight = self.vector(&format!("{layer}.weight"), width)?;
        Ok(Norm { weight, bias: self.vector(&format!("{layer}.bias"), width)? })
    }
}

fn bad(name: &str) -> Error {
    Error::new(ErrorKind::Model, format!("the comparer's weights have no usable {name}"))
}

/// Scales every row to unit length.
fn unit(mut x: Array2<f32>) -> Array2<f32> {
    for mut row in x.rows_mut() {
        let norm = row.dot(&row).sqrt().max(1e-12);
        row /= norm;
    }
    x
}

/// Turns every row into shares that add up to one.
fn softmax(x: &mut Array2<f32>) {
    for mut row in x.rows_mut() {
        let largest = row.fold(f32::NEG_INFINITY, |largest, &value| largest.max(value));
        row.mapv_inplace(|value| (value - largest).exp());
        let sum = row.sum();
        row /= sum;
    }
}

/// The Gaussian error linear unit (Hendrycks and Gimpel, 2016).
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function to within 5e-7: the rational approximation of Eigen and ONNX Runtime, which a compiler
/// turns into vector instructions. With the exact one of libm, it would take half of the time of a
/// comparison.
fn erf(x: f32) -> f32 {
    const ODD: [f32; 7] = [
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_4e-5,
        -7.349_906_3e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ];
    const EVEN: [f32; 5] = [-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2];
    let x = x.clamp(-4.0, 4.0);
    let square = x * x;
    let of = |terms: &[f32]| terms.iter().fold(0.0, |sum, term| sum * square + term);
    x * of(&ODD) / of(&EVEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_is_that_of_libm() {
        for n in -6_000_i16..=6_000 {
            let x = f32::from(n) / 1_000.0;
            assert!((erf(x) - libm::erff(x)).abs() < 5e-7, "erf({x}) is {}", erf(x));
        }
    }
}
