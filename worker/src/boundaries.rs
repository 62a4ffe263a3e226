//! What a home says of the parts that an object was uploaded in.
use crate::backend::BackendError;
use crate::copy::Copying;
use crate::layout::{self, Part};
use crate::multipart;
use futures::{StreamExt, TryStreamExt, stream};

/// How much the home has said of an object's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    /// The lengths of the first and the last, which look even.
    Ends,
    All,
}

/// Layouts to try, best first.
pub(crate) struct Layouts {
    pub(crate) best: Vec<Vec<Part>>,
    pub(crate) told: Told,
}

impl Copying<'_> {
    /// Layouts to try, best first: what the home says of its parts, else guesses; and how much it said.
    pub(crate) async fn find_layouts(&self, count: Option<u32>) -> Result<Layouts, BackendError> {
        let Some(count) = count else { return Ok(Layouts { best: Vec::new(), told: Told::Nothing }) };
        if count == 1 {
            return Ok(Layouts { best: layout::candidates(self.object.size, 1), told: Told::All });
        }
        if let Some((told_layout, told)) = self.ask_layout(count).await? {
            return Ok(Layouts { best: vec![told_layout], told });
        }
        Ok(Layouts { best: layout::candidates(self.object.size, count), told: Told::Nothing })
    }

    /// The layout as the home tells it, and how much of it; `None` where it does not.
    async fn ask_layout(&self, count: u32) -> Result<Option<(Vec<Part>, Told)>, BackendError> {
        let last = i32::try_from(count).unwrap_or(i32::MAX);
        let Some((first, told)) = multipart::part_length(self, 1).await? else { return Ok(None) };
        if told != last {
            return Ok(None);
        }
        // Nearly all uploads have equal parts, and the ETag will tell if this one has not.
        if first > 0 && self.object.size.div_ceil(first) == u64::from(count) {
            let Some((end, _)) = multipart::part_length(self, last).await? else { return Ok(None) };
            let even = layout::uniform(self.object.size, first);
            if even.last().is_some_and(|part| part.length == end) {
                return Ok(Some((even, if count > 2 { Told::Ends } else { Told::All })));
            }
        }
        Ok(self.ask_every_part(count).await?.map(|exact| (exact, Told::All)))
    }

    /// The layout as the home tells it part by part.
    pub(crate) async fn ask_every_part(&self, count: u32) -> Result<Option<Vec<Part>>, BackendError> {
        let last = i32::try_from(count).unwrap_or(i32::MAX);
        let ask = |number| multipart::part_length(self, number);
        let lengths: Vec<Option<(u64, i32)>> =
            stream::iter(1..=last).map(ask).buffered(self.settings.part_parallelism.max(1)).try_collect().await?;
        let lengths: Option<Vec<u64>> = lengths.into_iter().map(|l| l.map(|(length, _)| length)).collect();
        let whole = lengths.filter(|l| l.iter().sum::<u64>() == self.object.size);
        Ok(whole.map(layout::from_lengths))
    }
}
