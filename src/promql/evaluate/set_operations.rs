//! `and`, `or`, `unless`.

use hashbrown::HashMap;

use super::super::syntax::{Binary, Operator};
use super::matching::signature;
use super::points::Steps;
use super::{Evaluated, Evaluator, Sink};
use crate::model::Labels;

/// For each set of matched labels, at which steps there is a series.
type Presence = HashMap<Labels, Vec<bool>>;

impl Evaluator<'_> {
    pub(super) fn set_operation(
        &self,
        node: &Binary,
        steps: &Steps,
        sink: &mut Sink<'_>,
    ) -> Evaluated<()> {
        if node.operator == Operator::Or {
            // Both sides may give the same labels at different steps.
            return self.merging(false, sink, |sink| {
                let mut present = Presence::new();
                self.vector(&node.left, steps, &mut |series| {
                    self.mark(&mut present, node, &series, steps)?;
                    sink(series)
                })?;
                self.vector(&node.right, steps, &mut |mut series| {
                    if let Some(taken) = present.get(&signature(&series.labels, &node.matching)) {
                        for step in (0..steps.count).filter(|step| taken[*step]) {
                            series.points.remove(step);
                        }
                    }
                    if series.points.is_empty() { Ok(()) } else { sink(series) }
                })
            });
        }
        let mut present = Presence::new();
        self.vector(&node.right, steps, &mut |series| {
            self.mark(&mut present, node, &series, steps)?;
            self.give_back(series.points);
            Ok(())
        })?;
        let wanted = node.operator == Operator::And;
        self.vector(&node.left, steps, &mut |mut series| {
            let partner = present.get(&signature(&series.labels, &node.matching));
            for step in 0..steps.count {
                if partner.is_some_and(|partner| partner[step]) != wanted {
                    series.points.remove(step);
                }
            }
            if series.points.is_empty() { Ok(()) } else { sink(series) }
        })
    }

    fn mark(
        &self,
        present: &mut Presence,
        node: &Binary,
        series: &super::Series,
        steps: &Steps,
    ) -> Evaluated<()> {
        let key = signature(&series.labels, &node.matching);
        if !present.contains_key(&key) {
            self.hold(steps.count / 8 + 1)?;
        }
        let marks = present.entry(key).or_insert_with(|| vec![false; steps.count]);
        for (step, mark) in marks.iter_mut().enumerate() {
            *mark |= series.points.is_present(step);
        }
        Ok(())
    }
}
