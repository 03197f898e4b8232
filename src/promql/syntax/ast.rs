use smallvec::{SmallVec, smallvec};

use super::Span;
use crate::model::{Matcher, Timestamp};

/// A PromQL expression. Every node knows where it stands in the text.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// `1.5`, `5m` (300), `Inf`
    Number(Number),
    /// `"text"`
    Text(Text),
    /// `up{job="x"} offset 5m`
    Selector(Selector),
    /// `up[5m]`
    Range(Range),
    /// `expr[1h:5m]`
    Subquery(Box<Subquery>),
    /// `rate(…)`
    Call(Call),
    /// `sum by (job) (…)`
    Aggregate(Box<Aggregate>),
    /// `a + on (job) b`
    Binary(Box<Binary>),
    /// `-a`
    Unary(Box<Unary>),
    /// `(a)`
    Paren(Box<Paren>),
}

/// A number literal.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// Its value; seconds where it was written as a duration.
    pub value: f64,
    /// Whether it was written as a duration.
    pub duration: bool,
    /// Where it stands.
    pub span: Span,
}

/// A string literal.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Without quotes and escapes.
    pub value: String,
    /// Where it stands.
    pub span: Span,
}

/// An instant selector.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    /// The metric name in front of the braces or as the lone string within.
    pub name: Option<String>,
    /// All matchers, that of `name` included, in the order written (`name` last, as Prometheus
    /// prints it).
    pub matchers: Vec<Matcher>,
    /// `offset`
    pub offset: Option<Length>,
    /// `@`
    pub at: Option<At>,
    /// `anchored` or `smoothed`
    pub extension: Extension,
    /// Where it stands, with its modifiers.
    pub span: Span,
}

/// How the borders of a selector's range are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Extension {
    /// Only samples in the range.
    #[default]
    None,
    /// The last sample before the range stands for its beginning.
    Anchored,
    /// The borders are interpolated from the samples around them.
    Smoothed,
}

/// The time a selector is pinned to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// `@ 1700000000`
    Time(Timestamp),
    /// `@ start()`
    Start,
    /// `@ end()`
    End,
}

/// A range selector. `offset` and `@` stand at its `selector`.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// What is selected.
    pub selector: Selector,
    /// How far back.
    pub length: Length,
    /// Where it stands.
    pub span: Span,
}

/// An expression evaluated at many instants.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated.
    pub inner: Expr,
    /// How far back.
    pub length: Length,
    /// The step; the evaluation interval when absent.
    pub step: Option<Length>,
    /// `offset`
    pub offset: Option<Length>,
    /// `@`
    pub at: Option<At>,
    /// Where it stands.
    pub span: Span,
}

/// A length of time that may have to be computed when the query's step and range are known.
#[derive(Clone, Debug, PartialEq)]
pub enum Length {
    /// In seconds.
    Seconds(f64),
    /// `step()`
    Step,
    /// `range()`
    Range,
    /// `-x`
    Negated(Box<Length>),
    /// `(x)`
    Paren(Box<Length>),
    /// `x * y`; `min_of(x, y)` and `max_of(x, y)` too
    Operation(LengthOperation, Box<(Length, Length)>),
}

/// What can be done with two lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum LengthOperation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Least,
    Greatest,
}

/// A function call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Which function.
    pub function: &'static super::Function,
    /// Its arguments, checked against the signature.
    pub arguments: Vec<Expr>,
    /// Where it stands.
    pub span: Span,
}

/// An aggregation.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Which one.
    pub operator: Aggregation,
    /// `k`, `φ`, or the label of `count_values`.
    pub parameter: Option<Expr>,
    /// What is aggregated.
    pub inner: Expr,
    /// The labels of `by` or `without`.
    pub labels: Vec<String>,
    /// Whether `labels` are those to leave out.
    pub without: bool,
    /// Whether there is a `by ()` or `without ()`.
    pub grouped: bool,
    /// Where it stands.
    pub span: Span,
}

/// The aggregation operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Aggregation {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    TopK,
    BottomK,
    CountValues,
    Quantile,
    LimitK,
    LimitRatio,
}

impl Aggregation {
    /// All, by name.
    pub const ALL: &[(&str, Aggregation)] = &[
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("count", Self::Count),
        ("min", Self::Min),
        ("max", Self::Max),
        ("group", Self::Group),
        ("stddev", Self::Stddev),
        ("stdvar", Self::Stdvar),
        ("topk", Self::TopK),
        ("bottomk", Self::BottomK),
        ("count_values", Self::CountValues),
        ("quantile", Self::Quantile),
        ("limitk", Self::LimitK),
        ("limit_ratio", Self::LimitRatio),
    ];

    /// Its name in PromQL.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, operator)| *operator == self).map_or("", |(name, _)| name)
    }

    /// Whether it takes a parameter.
    pub fn has_parameter(self) -> bool {
        matches!(
            self,
            Self::TopK
                | Self::BottomK
                | Self::CountValues
                | Self::Quantile
                | Self::LimitK
                | Self::LimitRatio
        )
    }

    /// Whether Prometheus hides it behind a flag.
    pub fn is_experimental(self) -> bool {
        matches!(self, Self::LimitK | Self::LimitRatio)
    }
}

/// A binary operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// Which one.
    pub operator: Operator,
    /// Where the operator stands.
    pub operator_span: Span,
    /// Left side.
    pub left: Expr,
    /// Right side.
    pub right: Expr,
    /// `bool`: 0 and 1 instead of a filter.
    pub bool_modifier: bool,
    /// How series find their partners.
    pub matching: Matching,
    /// Where it stands.
    pub span: Span,
}

/// How series find their partners in a binary operation between vectors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matching {
    /// Many on which side.
    pub cardinality: Cardinality,
    /// Labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether it is `on`.
    pub on: bool,
    /// Whether `on` or `ignoring` was written.
    pub written: bool,
    /// Labels taken from the "one" side (`group_left (…)`).
    pub include: Vec<String>,
    /// `fill_left`: value for missing series of the left side.
    pub fill_left: Option<f64>,
    /// `fill_right`: value for missing series of the right side.
    pub fill_right: Option<f64>,
}

/// Many on which side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Cardinality {
    #[default]
    OneToOne,
    /// `group_left`
    ManyToOne,
    /// `group_right`
    OneToMany,
    /// `and`, `or`, `unless`
    ManyToMany,
}

/// The binary operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Atan2,
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    /// `</`: the part of a histogram below a value
    TrimUpper,
    /// `>/`: the part of a histogram above a value
    TrimLower,
    And,
    Or,
    Unless,
}

impl Operator {
    /// All, as written.
    pub const ALL: &[(&str, Operator)] = &[
        ("+", Self::Add),
        ("-", Self::Subtract),
        ("*", Self::Multiply),
        ("/", Self::Divide),
        ("%", Self::Modulo),
        ("^", Self::Power),
        ("atan2", Self::Atan2),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<", Self::Less),
        (">", Self::Greater),
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("</", Self::TrimUpper),
        (">/", Self::TrimLower),
        ("and", Self::And),
        ("or", Self::Or),
        ("unless", Self::Unless),
    ];

    /// As written.
    pub fn symbol(self) -> &'static str {
        Self::ALL.iter().find(|(_, operator)| *operator == self).map_or("", |(symbol, _)| symbol)
    }

    /// `==`, `<` …
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Less
                | Self::Greater
                | Self::LessOrEqual
                | Self::GreaterOrEqual
        )
    }

    /// `and`, `or`, `unless`
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// `</`, `>/`
    pub fn is_trim(self) -> bool {
        matches!(self, Self::TrimLower | Self::TrimUpper)
    }

    /// How tightly it binds, from 1.
    pub(super) fn precedence(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Equal
            | Self::NotEqual
            | Self::Less
            | Self::Greater
            | Self::LessOrEqual
            | Self::GreaterOrEqual
            | Self::TrimLower
            | Self::TrimUpper => 3,
            Self::Add | Self::Subtract => 4,
            Self::Multiply | Self::Divide | Self::Modulo | Self::Atan2 => 5,
            Self::Power => 6,
        }
    }
}

/// A sign in front of an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// Whether it is a minus.
    pub minus: bool,
    /// What it stands in front of.
    pub inner: Expr,
    /// Where it stands.
    pub span: Span,
}

/// Round brackets.
#[derive(Clone, Debug, PartialEq)]
pub struct Paren {
    /// What they hold.
    pub inner: Expr,
    /// Where they stand.
    pub span: Span,
}

/// What an expression evaluates to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// One number at each step.
    Scalar,
    /// A text.
    Text,
    /// One value for each series at each step.
    Vector,
    /// Many values for each series at each step.
    Matrix,
}

impl Type {
    /// As Prometheus' parse errors name it.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Text => "string",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
        }
    }

    /// As Prometheus' API names it.
    pub fn api_name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Text => "string",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
        }
    }
}

impl Expr {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Self::Number(node) => node.span,
            Self::Text(node) => node.span,
            Self::Selector(node) => node.span,
            Self::Range(node) => node.span,
            Self::Subquery(node) => node.span,
            Self::Call(node) => node.span,
            Self::Aggregate(node) => node.span,
            Self::Binary(node) => node.span,
            Self::Unary(node) => node.span,
            Self::Paren(node) => node.span,
        }
    }

    /// What it evaluates to.
    pub fn result_type(&self) -> Type {
        match self {
            Self::Number(_) => Type::Scalar,
            Self::Text(_) => Type::Text,
            Self::Selector(_) | Self::Aggregate(_) => Type::Vector,
            Self::Range(_) | Self::Subquery(_) => Type::Matrix,
            Self::Call(node) => node.function.result,
            Self::Binary(node) => match (node.left.result_type(), node.right.result_type()) {
                (Type::Scalar, Type::Scalar) => Type::Scalar,
                _ => Type::Vector,
            },
            Self::Unary(node) => node.inner.result_type(),
            Self::Paren(node) => node.inner.result_type(),
        }
    }

    /// Without the brackets around it.
    pub fn unwrapped(&self) -> &Expr {
        let mut expr = self;
        while let Self::Paren(paren) = expr {
            expr = &paren.inner;
        }
        expr
    }

    /// The parts it is made of.
    pub fn children(&self) -> SmallVec<[&Expr; 4]> {
        match self {
            Self::Number(_) | Self::Text(_) | Self::Selector(_) | Self::Range(_) => smallvec![],
            Self::Subquery(node) => smallvec![&node.inner],
            Self::Call(node) => node.arguments.iter().collect(),
            Self::Aggregate(node) => node.parameter.iter().chain([&node.inner]).collect(),
            Self::Binary(node) => smallvec![&node.left, &node.right],
            Self::Unary(node) => smallvec![&node.inner],
            Self::Paren(node) => smallvec![&node.inner],
        }
    }

    /// The matchers of all selectors, in the order of the text: what the expression reads.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        let mut found = Vec::new();
        let mut todo = vec![self];
        while let Some(expr) = todo.pop() {
            match expr {
                Self::Selector(selector) => found.push(&selector.matchers[..]),
                Self::Range(range) => found.push(&range.selector.matchers[..]),
                other => todo.extend(other.children().into_iter().rev()),
            }
        }
        found
    }
}
