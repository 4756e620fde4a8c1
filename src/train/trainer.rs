//! The loop over epochs and batches.

use candle_core::{D, DType, Device, Tensor};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::optimizer::clip;
use super::snapshot::{Progress, name};
use super::source::{Batch, Cut, each_batch};
use super::{
    Course, Data, Epoch, Fit, Fitted, Next, Observer, Optimizer, Select, Snapshot, Source, TrainError,
    cross_entropy,
};
use crate::arch::{Network, Training};

/// Trains `network`, from the start or from a snapshot of the same training.
///
/// The same settings, data and generator give the same bits, from the start as from any snapshot. `rng` is where it was
/// at the beginning of the whole training in either case.
pub fn fit(
    network: &Network,
    data: Data,
    settings: &Fit,
    rng: &mut ChaCha8Rng,
    from: Option<Snapshot>,
    observer: &mut dyn Observer,
) -> Result<Fitted, TrainError> {
    let mut trainer = match from {
        None => Trainer::new(network, data, settings)?,
        Some(snapshot) => Trainer::restored(network, data, settings, snapshot, rng)?,
    };
    trainer.run(rng, observer)?;
    Ok(trainer.finish())
}

/// Samples of a pass that measures.
const BATCH: usize = 250;

/// A training on its way.
pub(super) struct Trainer<'a> {
    data: Data<'a>,
    settings: &'a Fit<'a>,
    network: Network,
    optimizer: Optimizer,
    order: Vec<u32>,
    /// Where it is, less what is known elsewhere: steps, generator.
    at: Progress,
    best: Option<Network>,
    /// After the last whole epoch, whose numbers were finite; what is left of a training that diverges.
    good: Option<(usize, Network)>,
}

/// Gradients of the batches of one step.
#[derive(Default)]
struct Gradients {
    sums: Vec<Option<Tensor>>,
    batches: usize,
}

impl<'a> Trainer<'a> {
    pub fn new(network: &Network, data: Data<'a>, settings: &'a Fit) -> Result<Self, TrainError> {
        let (network, vars) = network.trainable()?;
        Ok(Self {
            data,
            settings,
            network,
            optimizer: Optimizer::new(settings.optimizer, vars),
            order: (0..data.train.len() as u32).collect(),
            at: Progress {
                epoch: 0,
                batch: 0,
                total: 0.0,
                steps: 0,
                generator: 0,
                history: Vec::with_capacity(settings.epochs),
                best: None,
            },
            best: None,
            good: None,
        })
    }

    /// Goes on from `snapshot`; `rng` is brought to where it was.
    pub fn restored(
        network: &Network,
        data: Data<'a>,
        settings: &'a Fit,
        snapshot: Snapshot,
        rng: &mut ChaCha8Rng,
    ) -> Result<Self, TrainError> {
        let with = |kind: &str| -> Result<Network, TrainError> {
            let mut restored = network.clone();
            for (i, tensor) in restored.tensors.iter_mut().enumerate() {
                let fits = |saved: &&Tensor| saved.dims() == tensor.dims() && saved.dtype() == tensor.dtype();
                let saved = snapshot.tensor(kind, i).filter(fits);
                let saved = saved.ok_or_else(|| TrainError::Snapshot(name(kind, i)))?;
                *tensor = saved.to_device(tensor.device())?;
            }
            Ok(restored)
        };
        let mut trainer = Self::new(&with("weight")?, data, settings)?;
        if snapshot.order.len() != trainer.order.len() {
            let problem = format!("{} samples", snapshot.order.len());
            return Err(TrainError::Snapshot(problem));
        }
        let count = trainer.optimizer.vars().len();
        let device = trainer
            .network
            .tensors
            .first()
            .map_or(Device::Cpu, |t| t.device().clone());
        let moved = |i| {
            snapshot
                .tensor("first", i)
                .map(|t| t.to_device(&device))
                .transpose()
        };
        let moments = (0..count).map(moved).collect::<candle_core::Result<_>>()?;
        trainer.optimizer.restore(snapshot.progress.steps, moments);
        if let Some((_, epoch)) = snapshot.progress.best {
            let best = with("best")?;
            trainer.good = Some((epoch, best.clone()));
            trainer.best = Some(best);
        }
        rng.set_word_pos(u128::from(snapshot.progress.generator));
        trainer.at = snapshot.progress;
        trainer.order = snapshot.order;
        Ok(trainer)
    }

    pub fn run(&mut self, rng: &mut ChaCha8Rng, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let result = self.epochs(rng, observer);
        if let (Err(TrainError::Diverged { .. }), Some((epoch, network))) = (&result, &self.good) {
            observer.diverged(*epoch, network);
        }
        result
    }

    fn epochs(&mut self, rng: &mut ChaCha8Rng, observer: &mut dyn Observer) -> Result<(), TrainError> {
        while self.at.epoch < self.settings.epochs {
            self.epoch(rng, observer)?;
            let done = self.measured()?;
            let next = observer.epoch(&done);
            self.at.history.push(done);
            self.at.epoch += 1;
            (self.at.batch, self.at.total) = (0, 0.0);
            self.heed(next, rng, observer)?;
        }
        Ok(())
    }

    fn epoch(&mut self, rng: &mut ChaCha8Rng, observer: &mut dyn Observer) -> Result<(), TrainError> {
        let settings = self.settings;
        if self.at.batch == 0 {
            self.order.shuffle(rng);
        }
        let course = Course {
            schedule: settings.schedule,
            warmup: settings.warmup_epochs,
            min: settings.min_lr,
            epochs: settings.epochs,
        };
        let lr = course.rate(settings.optimizer.lr, self.at.epoch);
        // The batches' thread reads the order while this one goes on.
        let order = self.order.clone();
        let cut = Cut {
            epoch: self.at.epoch,
            order: &order,
            size: settings.batch_size,
            skip: self.at.batch,
        };
        let (batches, train) = (cut.len(), self.data.train);
        let mut gradients = Gradients::default();
        let mut wish = Next::Go;
        each_batch(train, cut, settings.workers, |number, batch| {
            self.learn(&batch, &mut gradients, rng)?;
            self.at.batch = number + 1;
            let whole = gradients.batches == settings.accumulate || self.at.batch == batches;
            if whole {
                self.optimizer.apply(&gradients.mean(settings.clip_norm)?, lr)?;
                gradients = Gradients::default();
            }
            wish = wish.max(observer.batch());
            match whole {
                // Between two steps there are no gradients to keep.
                true => self.heed(std::mem::replace(&mut wish, Next::Go), rng, observer),
                false => Ok(()),
            }
        })
    }

    /// Adds a batch's loss and gradients.
    fn learn(&mut self, batch: &Batch, sum: &mut Gradients, rng: &mut ChaCha8Rng) -> Result<(), TrainError> {
        let mut training = Training {
            rng,
            statistics: Vec::new(),
            precision: self.settings.precision,
        };
        let logits = self.network.forward_training(&batch.images, &mut training)?;
        for (at, statistic) in training.statistics {
            self.network.tensors[at] = statistic;
        }
        let smoothing = self.settings.label_smoothing;
        let mut loss = cross_entropy(&logits, &batch.labels, smoothing)?;
        if let Some((others, share)) = &batch.mixed {
            let other = cross_entropy(&logits, others, smoothing)?;
            loss = ((loss * *share)? + (other * (1.0 - share))?)?;
        }
        sum.add(self.optimizer.gradients(&loss.backward()?))?;
        // Last, as this waits for a GPU: all of the pass is with it then.
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Err(self.diverged());
        }
        self.at.total += value * batch.labels.elem_count() as f64;
        Ok(())
    }

    /// Closes an epoch: what it gave, and whether it is the best so far.
    fn measured(&mut self) -> Result<Epoch, TrainError> {
        if self.network.require_finite().is_err() {
            return Err(self.diverged());
        }
        let select = self.settings.select;
        let last = self.at.epoch + 1 == self.settings.epochs;
        let accuracy = match self.data.measure {
            Some(source) if select != Select::Last => Some(self.accuracy(source, source.len())?),
            // Finite weights may give logits that are not.
            _ if last => self.accuracy(self.data.train, BATCH).map(|_| None)?,
            _ => None,
        };
        let network = self.network.trainable()?.0.detached();
        if let Some(accuracy) = accuracy {
            let better = self.at.best.is_none_or(|(top, _)| match select {
                // Of equals the later one: it has seen more of the data.
                Select::Validation | Select::Last => accuracy >= top,
                Select::Test => accuracy > top,
            });
            if better {
                self.at.best = Some((accuracy, self.at.epoch));
                self.best = Some(network.clone());
            }
        }
        self.good = Some((self.at.epoch, network));
        Ok(Epoch {
            epoch: self.at.epoch,
            train_loss: self.at.total / self.order.len() as f64,
            val_accuracy: accuracy.filter(|_| select == Select::Validation),
            test_accuracy: accuracy.filter(|_| select == Select::Test),
        })
    }

    /// On the first `most` samples.
    fn accuracy(&self, source: &dyn Source, most: usize) -> Result<f64, TrainError> {
        let network = self.network.detached();
        let samples: Vec<u32> = (0..source.len().min(most) as u32).collect();
        let mut correct = 0.0;
        for (number, chosen) in samples.chunks(BATCH).enumerate() {
            let batch = source.batch(0, number * BATCH, chosen)?;
            let logits = network.forward(&batch.images)?;
            // No sum of finite f32s is too large for an f64.
            if !logits
                .to_dtype(DType::F64)?
                .sum_all()?
                .to_scalar::<f64>()?
                .is_finite()
            {
                return Err(self.diverged());
            }
            let hits = logits.argmax(D::Minus1)?.eq(&batch.labels)?;
            correct += hits.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
        }
        Ok(correct / samples.len() as f64)
    }

    fn diverged(&self) -> TrainError {
        TrainError::Diverged {
            epoch: self.at.epoch,
            step: self.at.batch,
        }
    }

    /// Does what the observer wants, between two steps.
    fn heed(&self, next: Next, rng: &ChaCha8Rng, observer: &mut dyn Observer) -> Result<(), TrainError> {
        if next != Next::Go {
            if self.network.require_finite().is_err() {
                return Err(self.diverged());
            }
            observer.keep(&self.snapshot(rng));
        }
        match next {
            Next::Stop => Err(TrainError::Stopped),
            Next::Go | Next::Keep => Ok(()),
        }
    }

    fn snapshot(&self, rng: &ChaCha8Rng) -> Snapshot {
        let (steps, moments) = self.optimizer.state();
        let mut tensors = Vec::new();
        let mut add = |kind: &str, index: usize, tensor: &Tensor| {
            tensors.push((name(kind, index), tensor.detach()));
        };
        for (i, tensor) in self.network.tensors.iter().enumerate() {
            add("weight", i, tensor);
        }
        for (i, moment) in moments.iter().enumerate() {
            if let Some(moment) = moment {
                add("first", i, moment);
            }
        }
        for (i, tensor) in self.best.iter().flat_map(|best| &best.tensors).enumerate() {
            add("best", i, tensor);
        }
        Snapshot {
            progress: Progress {
                steps,
                // 2^64 words are more than any training draws.
                generator: rng.get_word_pos() as u64,
                ..self.at.clone()
            },
            order: self.order.clone(),
            tensors,
        }
    }

    pub fn finish(self) -> Fitted {
        let (epoch, accuracy, network) = match (self.best, self.at.best) {
            (Some(network), Some((accuracy, epoch))) => (epoch, Some(accuracy), network),
            _ => (
                self.settings.epochs.saturating_sub(1),
                None,
                self.network.detached(),
            ),
        };
        Fitted {
            network,
            epoch,
            accuracy,
            history: self.at.history,
        }
    }
}

impl Gradients {
    fn add(&mut self, new: Vec<Option<Tensor>>) -> candle_core::Result<()> {
        self.batches += 1;
        if self.batches == 1 {
            self.sums = new;
            return Ok(());
        }
        for (sum, new) in self.sums.iter_mut().zip(new) {
            *sum = match (sum.take(), new) {
                (Some(sum), Some(new)) => Some((sum + new)?),
                (sum, new) => sum.or(new),
            };
        }
        Ok(())
    }

    /// Their mean over the batches, with a norm of at most `max`.
    fn mean(&self, max: Option<f64>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let mut gradients = self.sums.clone();
        if self.batches > 1 {
            for gradient in gradients.iter_mut().flatten() {
                *gradient = (&*gradient / self.batches as f64)?;
            }
        }
        if let Some(max) = max {
            clip(&mut gradients, max)?;
        }
        Ok(gradients)
    }
}
