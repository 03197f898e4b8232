//! Long expressions over several lines, as Prometheus' `format_query` lays them out.

use std::fmt::{self, Write};

use super::Expr;

/// Longer expressions are broken.
const LINE: usize = 100;

/// Takes a line's worth of text and refuses more, so that a tall expression is not printed whole
/// at each of its levels.
#[derive(Default)]
struct Line(String);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LINE {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

impl Expr {
    /// The expression in lines of at most 100 characters, where it can be broken: each level is
    /// indented by two spaces.
    pub fn pretty(&self) -> String {
        self.at_level(0)
    }

    fn at_level(&self, level: usize) -> String {
        let indent = "  ".repeat(level);
        let mut line = Line::default();
        if write!(line, "{self}").is_ok() {
            return match self {
                // Prometheus does not indent these; kept, so that both print the same.
                Self::Subquery(_) => line.0,
                _ => format!("{indent}{}", line.0),
            };
        }
        match self {
            Self::Number(_) | Self::Text(_) | Self::Selector(_) | Self::Range(_) => {
                format!("{indent}{self}")
            }
            Self::Paren(node) => {
                format!("{indent}(\n{}\n{indent})", node.inner.at_level(level + 1))
            }
            Self::Unary(node) => {
                let sign = if node.minus { "-" } else { "+" };
                format!("{indent}{sign}{}", node.inner.at_level(level).trim())
            }
            Self::Subquery(node) => {
                format!("{}{}", node.inner.at_level(level), super::print::Brackets(node))
            }
            Self::Call(node) => {
                let arguments: Vec<String> =
                    node.arguments.iter().map(|a| a.at_level(level + 1)).collect();
                format!("{indent}{}(\n{}\n{indent})", node.function.name, arguments.join(",\n"))
            }
            Self::Aggregate(node) => {
                let parameter = node
                    .parameter
                    .as_ref()
                    .map_or(String::new(), |p| format!("{},\n", p.at_level(level + 1)));
                let head = super::print::aggregation_head(node);
                let inner = node.inner.at_level(level + 1);
                format!("{indent}{head}(\n{parameter}{inner}\n{indent})")
            }
            Self::Binary(node) => {
                let operator = super::print::Between(node);
                format!(
                    "{}\n{indent}{operator}\n{}",
                    node.left.at_level(level + 1),
                    node.right.at_level(level + 1)
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::promql::parse;

    #[test]
    fn only_long_expressions_are_broken() {
        assert_eq!(parse("a+b").unwrap().pretty(), "a + b");
        let name = "x".repeat(60);
        let query = format!("sum by (job) (rate({name}[5m])) / on (job) max({name} > 1)");
        let wanted = format!("  sum by (job) (rate({name}[5m]))\n/ on (job)\n  max({name} > 1)");
        let pretty = parse(&query).unwrap().pretty();
        assert_eq!(pretty, wanted);
        assert_eq!(parse(&pretty).unwrap().to_string(), parse(&query).unwrap().to_string());
        let query = format!("topk(5, {name} + {name})");
        let wanted = format!("topk(\n  5,\n    {name}\n  +\n    {name}\n)");
        assert_eq!(parse(&query).unwrap().pretty(), wanted);
    }
}
