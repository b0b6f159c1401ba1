//! Which instructions a call can pass repeatedly, and how many of a kind it can pass at most.

use super::flow::Flow;

/// The strongly connected components of a function's control flow, in topological order.
pub(super) struct Order {
    /// Component of each instruction. A component's number is higher than those of all that can
    /// be reached from it.
    component: Vec<u32>,
    /// Instructions, those of later components first.
    emitted: Vec<u32>,
    /// Whether each component is a cycle.
    cyclic: Vec<bool>,
}

impl Order {
    /// Tarjan's algorithm, without recursion.
    pub(super) fn of(flow: &Flow) -> Self {
        const NEW: u32 = u32::MAX;
        let count = flow.len();
        let mut order = Self {
            component: vec![NEW; count],
            emitted: Vec::with_capacity(count),
            cyclic: Vec::new(),
        };
        let mut number = vec![NEW; count];
        let mut low = vec![0u32; count];
        let mut open: Vec<u32> = Vec::new();
        let mut path: Vec<(usize, u8)> = Vec::new();
        let mut next_number = 0;
        for root in 0..count {
            if number[root] != NEW {
                continue;
            }
            path.push((root, 0));
            while let Some((at, step)) = path.last_mut() {
                let at = *at;
                if *step == 0 {
                    number[at] = next_number;
                    low[at] = next_number;
                    next_number += 1;
                    open.push(at as u32);
                }
                let successor = match *step {
                    0 => flow.next(at),
                    1 => flow.target(at),
                    _ => {
                        path.pop();
                        if let Some((parent, _)) = path.last() {
                            low[*parent] = low[*parent].min(low[at]);
                        }
                        if low[at] == number[at] {
                            order.close(flow, at, &mut open);
                        }
                        continue;
                    }
                };
                *step += 1;
                let Some(successor) = successor else { continue };
                if number[successor] == NEW {
                    path.push((successor, 0));
                } else if order.component[successor] == NEW {
                    low[at] = low[at].min(number[successor]);
                }
            }
        }
        order
    }

    /// Ends the component that `root` was reached first of.
    fn close(&mut self, flow: &Flow, root: usize, open: &mut Vec<u32>) {
        let number = self.cyclic.len() as u32;
        let mut size = 0;
        while let Some(member) = open.pop() {
            self.component[member as usize] = number;
            self.emitted.push(member);
            size += 1;
            if member as usize == root {
                break;
            }
        }
        let loops = flow.successors(root).any(|next| next == root);
        self.cyclic.push(size > 1 || loops);
    }

    /// Whether control can come back to `index`.
    pub(super) fn is_on_cycle(&self, index: usize) -> bool {
        self.cyclic[self.component[index] as usize]
    }

    /// For each of `sites` (ascending, none on a cycle), the most of them that one call can pass
    /// up to it, itself included.
    pub(super) fn passed(&self, flow: &Flow, sites: &[usize]) -> Vec<u32> {
        let mut most = vec![0u32; self.cyclic.len()];
        for &at in self.emitted.iter().rev() {
            let at = at as usize;
            let own = self.component[at] as usize;
            let so_far = most[own] + u32::from(sites.binary_search(&at).is_ok());
            for next in flow.successors(at) {
                let next = self.component[next] as usize;
                if next != own {
                    most[next] = most[next].max(so_far);
                }
            }
        }
        sites
            .iter()
            .map(|&site| most[self.component[site] as usize] + 1)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `jumps` are (from, to); every instruction but the last falls to the next.
    fn order(count: usize, jumps: &[(u32, u32)]) -> (Flow, Order) {
        let flow = Flow::for_test(count, jumps);
        let order = Order::of(&flow);
        (flow, order)
    }

    #[test]
    fn straight_line() {
        let (flow, order) = order(4, &[]);
        assert!((0..4).all(|index| !order.is_on_cycle(index)));
        assert_eq!(order.passed(&flow, &[0, 2, 3]), [1, 2, 3]);
    }

    #[test]
    fn a_loop_and_what_is_around_it() {
        let (flow, order) = order(6, &[(3, 1)]);
        let cycle: Vec<bool> = (0..6).map(|index| order.is_on_cycle(index)).collect();
        assert_eq!(cycle, [false, true, true, true, false, false]);
        assert_eq!(order.passed(&flow, &[0, 4, 5]), [1, 2, 3]);
    }

    #[test]
    fn ways_around_a_site() {
        let (flow, order) = order(6, &[(0, 4), (5, 5)]);
        assert!(order.is_on_cycle(5));
        assert_eq!(order.passed(&flow, &[1, 2, 4]), [1, 2, 3]);
        let passed = order.passed(&flow, &[4]);
        assert_eq!(passed, [1]);
    }
}
