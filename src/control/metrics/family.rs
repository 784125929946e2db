//! One metric with its samples, in the form that the `prometheus` crate writes as text.
//!
//! Tested with `exposition`.

use prometheus::proto;

use super::names::{self, Kind, Metric};
use crate::telemetry::histogram::Distribution;

/// A metric while it is filled.
pub(super) struct Family {
    metric: &'static Metric,
    samples: Vec<proto::Metric>,
}

impl Family {
    pub(super) fn of(metric: &'static Metric) -> Family {
        Family { metric, samples: Vec::new() }
    }

    /// Adds one sample of a counter or a gauge; `labels` are the values, in the order of the table.
    pub(super) fn add(&mut self, labels: &[&str], value: f64) {
        let mut sample = self.sample(labels);
        match self.metric.kind {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                sample.set_counter(counter);
            }
            Kind::Gauge | Kind::Histogram => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                sample.set_gauge(gauge);
            }
        }
        self.samples.push(sample);
    }

    pub(super) fn count(&mut self, labels: &[&str], count: u64) {
        self.add(labels, count as f64);
    }

    /// Adds the samples of a histogram.
    pub(super) fn distribution(&mut self, labels: &[&str], durations: &Distribution) {
        let buckets = names::BOUND_EXPONENTS.map(|exponent| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(seconds(1 << exponent));
            bucket.set_cumulative_count(durations.below_power(exponent));
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(durations.count());
        histogram.set_sample_sum(seconds(durations.sum_us()));
        let mut sample = self.sample(labels);
        sample.set_histogram(histogram);
        self.samples.push(sample);
    }

    fn sample(&self, labels: &[&str]) -> proto::Metric {
        debug_assert_eq!(labels.len(), self.metric.labels.len(), "{}", self.metric.name);
        let pairs = self.metric.labels.iter().zip(labels).map(|(name, value)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        proto::Metric::from_label(pairs.collect())
    }

    /// `None` without samples, since a family must have one.
    pub(super) fn finish(self) -> Option<proto::MetricFamily> {
        if self.samples.is_empty() {
            return None;
        }
        let mut family = proto::MetricFamily::default();
        family.set_name(self.metric.name.to_owned());
        family.set_help(self.metric.help.to_owned());
        family.set_field_type(match self.metric.kind {
            Kind::Counter => proto::MetricType::COUNTER,
            Kind::Gauge => proto::MetricType::GAUGE,
            Kind::Histogram => proto::MetricType::HISTOGRAM,
        });
        family.set_metric(self.samples);
        Some(family)
    }
}

/// Prometheus' base unit of time.
pub(super) fn seconds(us: u64) -> f64 {
    us as f64 / 1_000_000.0
}
