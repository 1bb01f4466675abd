//! Embeddings of earlier batches, for the global loss where classes outnumber the batch.
//!
//! Owns the bound: so many of each class, the oldest goes first. Source: cross-batch memory, Wang et al., CVPR 2020.
//! No gradient reaches what is remembered.

use std::collections::{BTreeMap, VecDeque};

use tch::Tensor;

/// The last embeddings of each class.
#[derive(Debug)]
pub struct EmbeddingMemory {
    capacity: usize,
    /// f32 `[D]` each, the oldest first.
    by_class: BTreeMap<usize, VecDeque<Tensor>>,
}

impl EmbeddingMemory {
    /// Empty; keeps `capacity` embeddings of each class.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, by_class: BTreeMap::new() }
    }

    /// Remembers a batch `[N, D]` with its N classes.
    pub fn push(&mut self, embeddings: &Tensor, classes: &[usize]) {
        if self.capacity == 0 {
            return;
        }
        let rows = embeddings.detach().copy().unbind(0);
        for (row, &class) in rows.into_iter().zip(classes) {
            let of_class = self.by_class.entry(class).or_default();
            of_class.push_back(row);
            if of_class.len() > self.capacity {
                of_class.pop_front();
            }
        }
    }

    /// What is remembered of each class, `[K, D]`, the oldest first.
    pub fn by_class(&self) -> impl Iterator<Item = (usize, Tensor)> + '_ {
        self.by_class
            .iter()
            .map(|(&class, rows)| (class, Tensor::stack(&rows.iter().collect::<Vec<_>>(), 0)))
    }

    /// Everything that is remembered, `[M, D]` with its M classes; `None` when there is nothing.
    pub fn all(&self) -> Option<(Tensor, Vec<usize>)> {
        if self.by_class.is_empty() {
            return None;
        }
        let of_class = |(&class, rows): (&usize, &VecDeque<Tensor>)| vec![class; rows.len()];
        let classes = self.by_class.iter().flat_map(of_class).collect();
        let rows: Vec<&Tensor> = self.by_class.values().flatten().collect();
        Some((Tensor::stack(&rows, 0), classes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch::floats;

    #[test]
    fn the_oldest_of_each_class_goes_first() {
        let mut memory = EmbeddingMemory::new(2);
        assert!(memory.all().is_none());
        let rows = |values: &[f32]| Tensor::from_slice(values).view([-1, 1]);
        memory.push(&rows(&[1.0, 2.0, 3.0]), &[1, 0, 1]);
        memory.push(&rows(&[4.0]), &[1]);
        let (embeddings, classes) = memory.all().unwrap();
        assert_eq!((floats(&embeddings), classes), (vec![2.0, 3.0, 4.0], vec![0, 1, 1]));
        let mut none = EmbeddingMemory::new(0);
        none.push(&rows(&[1.0]), &[0]);
        assert!(none.all().is_none());
    }
}
