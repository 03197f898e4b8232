use super::Type;

/// A PromQL function.
#[derive(Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Types of its arguments; the last one may repeat.
    pub arguments: &'static [Type],
    /// How many of them may be left out (from the end).
    pub optional: usize,
    /// How often the last one may stand beyond `arguments`; `None` = without limit.
    pub repeat: Option<usize>,
    /// What it gives.
    pub result: Type,
    /// Whether Prometheus hides it behind a flag.
    pub experimental: bool,
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

use Type::{Matrix, Scalar, Text, Vector};

const fn plain(name: &'static str, arguments: &'static [Type], result: Type) -> Function {
    Function { name, arguments, optional: 0, repeat: Some(0), result, experimental: false }
}

const fn new(name: &'static str, arguments: &'static [Type], result: Type) -> Function {
    Function { name, arguments, optional: 0, repeat: Some(0), result, experimental: true }
}

const fn optional(function: Function, optional: usize) -> Function {
    Function { optional, ..function }
}

const fn repeated(function: Function, optional: usize) -> Function {
    Function { optional, repeat: None, ..function }
}

/// All functions of Prometheus 3, by name.
pub static FUNCTIONS: &[Function] = &[
    plain("abs", &[Vector], Vector),
    plain("absent", &[Vector], Vector),
    plain("absent_over_time", &[Matrix], Vector),
    plain("acos", &[Vector], Vector),
    plain("acosh", &[Vector], Vector),
    plain("asin", &[Vector], Vector),
    plain("asinh", &[Vector], Vector),
    plain("atan", &[Vector], Vector),
    plain("atanh", &[Vector], Vector),
    plain("avg_over_time", &[Matrix], Vector),
    plain("ceil", &[Vector], Vector),
    plain("changes", &[Matrix], Vector),
    plain("clamp", &[Vector, Scalar, Scalar], Vector),
    plain("clamp_max", &[Vector, Scalar], Vector),
    plain("clamp_min", &[Vector, Scalar], Vector),
    plain("cos", &[Vector], Vector),
    plain("cosh", &[Vector], Vector),
    plain("count_over_time", &[Matrix], Vector),
    optional(plain("day_of_month", &[Vector], Vector), 1),
    optional(plain("day_of_week", &[Vector], Vector), 1),
    optional(plain("day_of_year", &[Vector], Vector), 1),
    optional(plain("days_in_month", &[Vector], Vector), 1),
    plain("deg", &[Vector], Vector),
    plain("delta", &[Matrix], Vector),
    plain("deriv", &[Matrix], Vector),
    new("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Vector),
    new("end", &[], Scalar),
    plain("exp", &[Vector], Vector),
    new("first_over_time", &[Matrix], Vector),
    plain("floor", &[Vector], Vector),
    plain("histogram_avg", &[Vector], Vector),
    plain("histogram_count", &[Vector], Vector),
    plain("histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    plain("histogram_quantile", &[Scalar, Vector], Vector),
    repeated(new("histogram_quantiles", &[Vector, Text, Scalar], Vector), 0),
    plain("histogram_stddev", &[Vector], Vector),
    plain("histogram_stdvar", &[Vector], Vector),
    plain("histogram_sum", &[Vector], Vector),
    optional(plain("hour", &[Vector], Vector), 1),
    plain("idelta", &[Matrix], Vector),
    plain("increase", &[Matrix], Vector),
    optional(new("info", &[Vector, Vector], Vector), 1),
    plain("irate", &[Matrix], Vector),
    repeated(plain("label_join", &[Vector, Text, Text, Text], Vector), 1),
    plain("label_replace", &[Vector, Text, Text, Text, Text], Vector),
    plain("last_over_time", &[Matrix], Vector),
    plain("ln", &[Vector], Vector),
    plain("log10", &[Vector], Vector),
    plain("log2", &[Vector], Vector),
    new("mad_over_time", &[Matrix], Vector),
    new("max_of", &[Scalar, Scalar], Scalar),
    plain("max_over_time", &[Matrix], Vector),
    new("min_of", &[Scalar, Scalar], Scalar),
    plain("min_over_time", &[Matrix], Vector),
    optional(plain("minute", &[Vector], Vector), 1),
    optional(plain("month", &[Vector], Vector), 1),
    plain("pi", &[], Scalar),
    plain("predict_linear", &[Matrix, Scalar], Vector),
    plain("present_over_time", &[Matrix], Vector),
    plain("quantile_over_time", &[Scalar, Matrix], Vector),
    plain("rad", &[Vector], Vector),
    new("range", &[], Scalar),
    plain("rate", &[Matrix], Vector),
    plain("resets", &[Matrix], Vector),
    optional(plain("round", &[Vector, Scalar], Vector), 1),
    plain("scalar", &[Vector], Scalar),
    plain("sgn", &[Vector], Vector),
    plain("sin", &[Vector], Vector),
    plain("sinh", &[Vector], Vector),
    plain("sort", &[Vector], Vector),
    repeated(new("sort_by_label", &[Vector, Text], Vector), 1),
    repeated(new("sort_by_label_desc", &[Vector, Text], Vector), 1),
    plain("sort_desc", &[Vector], Vector),
    plain("sqrt", &[Vector], Vector),
    new("start", &[], Scalar),
    new("start_timestamp", &[Vector], Vector),
    plain("stddev_over_time", &[Matrix], Vector),
    plain("stdvar_over_time", &[Matrix], Vector),
    new("step", &[], Scalar),
    plain("sum_over_time", &[Matrix], Vector),
    plain("tan", &[Vector], Vector),
    plain("tanh", &[Vector], Vector),
    plain("time", &[], Scalar),
    plain("timestamp", &[Vector], Vector),
    new("ts_of_first_over_time", &[Matrix], Vector),
    new("ts_of_last_over_time", &[Matrix], Vector),
    new("ts_of_max_over_time", &[Matrix], Vector),
    new("ts_of_min_over_time", &[Matrix], Vector),
    plain("vector", &[Scalar], Vector),
    optional(plain("year", &[Vector], Vector), 1),
];

/// The function of this name; names are case-sensitive.
pub fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|at| &FUNCTIONS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(FUNCTIONS.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(FUNCTIONS.iter().all(|f| function(f.name).is_some()));
    }
}
