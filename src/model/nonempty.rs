/// At least one. Carries "every owner can be reached" in the type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NonEmpty<T> {
    first: T,
    rest: Vec<T>,
}

impl<T> NonEmpty<T> {
    /// Exactly one.
    pub fn of(first: T) -> Self {
        Self { first, rest: Vec::new() }
    }

    /// `None` when there is nothing in it.
    pub fn from_vec(items: Vec<T>) -> Option<Self> {
        let mut items = items.into_iter();
        Some(Self { first: items.next()?, rest: items.collect() })
    }

    /// The first one.
    pub fn first(&self) -> &T {
        &self.first
    }

    /// The last one.
    pub fn last(&self) -> &T {
        self.rest.last().unwrap_or(&self.first)
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}
