//! Who is closest, known from above: what an attacker answers with, and what
//! lookups are compared with.

use chr_node::identity::Address;

/// Ids in order.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    sorted: Vec<(Address, usize)>,
}

impl Ring {
    pub fn new(mut ids: Vec<(Address, usize)>) -> Ring {
        ids.sort_unstable();
        Ring { sorted: ids }
    }

    /// The numbers of the `count` closest to `target`, the closest first.
    pub fn closest(&self, target: &Address, count: usize) -> Vec<usize> {
        let mut found = Vec::with_capacity(count);
        walk(&self.sorted, target, 0, count, &mut found);
        found
    }
}

/// Ids below one prefix: those on the target's side of the next bit are all closer.
fn walk(
    ids: &[(Address, usize)],
    target: &Address,
    bit: usize,
    count: usize,
    found: &mut Vec<usize>,
) {
    if found.len() >= count || ids.is_empty() {
        return;
    }
    if ids.len() == 1 || bit == 160 {
        found.extend(ids.iter().map(|(_, number)| *number));
        found.truncate(count);
        return;
    }
    let ones = ids.partition_point(|(id, _)| !is_set(id, bit));
    let (zero, one) = ids.split_at(ones);
    let (near, far) = if is_set(target, bit) {
        (one, zero)
    } else {
        (zero, one)
    };
    walk(near, target, bit + 1, count, found);
    walk(far, target, bit + 1, count, found);
}

fn is_set(id: &Address, bit: usize) -> bool {
    id.0[bit / 8] & (0x80 >> (bit % 8)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use fastrand::Rng;

    #[test]
    fn the_closest_are_those_that_sorting_all_of_them_finds() {
        let mut rng = Rng::with_seed(3);
        let mut draw = || {
            let mut id = [0; 20];
            rng.fill(&mut id);
            Address(id)
        };
        let ids: Vec<(Address, usize)> = (0..500).map(|i| (draw(), i)).collect();
        let ring = Ring::new(ids.clone());
        for _ in 0..50 {
            let target = draw();
            let mut sorted = ids.clone();
            sorted.sort_by_key(|(id, _)| {
                let mut distance = id.0;
                distance.iter_mut().zip(target.0).for_each(|(d, t)| *d ^= t);
                distance
            });
            let best: Vec<usize> = sorted[..20].iter().map(|(_, i)| *i).collect();
            assert_eq!(ring.closest(&target, 20), best);
        }
    }
}
