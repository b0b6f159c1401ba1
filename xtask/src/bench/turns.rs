//! Several tools measured in turns, so that what changes on the host meets all of them.

use std::array;

use anyhow::Result;

/// The tools, and what has been measured of each: `N` figures, by round.
pub struct Turns<P, const N: usize>(Vec<(P, Result<[Vec<f64>; N]>)>);

impl<P: Copy, const N: usize> Turns<P, N> {
    /// Nothing is measured yet.
    pub fn new(peers: impl IntoIterator<Item = P>) -> Self {
        Self(
            peers
                .into_iter()
                .map(|peer| (peer, Ok(array::from_fn(|_| Vec::new()))))
                .collect(),
        )
    }

    /// Measures each tool once by `measure`; no more after its first failure.
    pub fn round(&mut self, mut measure: impl FnMut(P) -> Result<[f64; N]>) {
        for (peer, measured) in &mut self.0 {
            let Ok(figures) = measured else { continue };
            match measure(*peer) {
                Ok(values) => {
                    for (figure, value) in figures.iter_mut().zip(values) {
                        figure.push(value);
                    }
                }
                Err(error) => *measured = Err(error),
            }
        }
    }

    /// What was measured of each tool, or why it was not.
    pub fn finish(self) -> Vec<(P, Result<[Vec<f64>; N]>)> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_tool_that_fails_is_measured_no_more() {
        let mut turns = Turns::new(["steady", "failing"]);
        let mut asked = Vec::new();
        for round in 0..3 {
            turns.round(|peer| {
                asked.push((round, peer));
                if peer == "failing" && round == 1 {
                    bail!("out of order");
                }
                Ok([f64::from(round)])
            });
        }
        let said = [
            (0, "steady"),
            (0, "failing"),
            (1, "steady"),
            (1, "failing"),
            (2, "steady"),
        ];
        assert_eq!(asked, said);
        let measured = turns.finish();
        assert_eq!(measured[0].1.as_ref().unwrap(), &[vec![0.0, 1.0, 2.0]]);
        assert_eq!(
            measured[1].1.as_ref().unwrap_err().to_string(),
            "out of order"
        );
    }
}
