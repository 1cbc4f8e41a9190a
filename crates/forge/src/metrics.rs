//! What is counted here.

use hakata_runtime::metrics::Metric;

/// Lists the metrics that this crate keeps, for `hakata_runtime::metrics::register`.
pub fn metrics() -> Vec<&'static dyn Metric> {
    let mut all = crate::hosting::metrics();
    all.extend(crate::folder::metrics());
    all.extend(crate::error::metrics());
    all.extend(crate::webhooks::metrics());
    all.extend(crate::mirrors::metrics());
    all.extend(crate::imports::metrics());
    all.extend(crate::lfs::metrics());
    all.extend(crate::mail::metrics());
    all.push(&crate::auth::refusals::REFUSED);
    all
}
