//! The last scores of every product at every camera: what a strip chart shows.
//!
//! Owns its bounds. Pure.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use serde::Serialize;

use super::intake::Point;

/// Points of each product: as many as a strip has pixels to tell them apart.
const POINTS_MAX: usize = 300;
/// Products of each camera. A model has fewer; but models are swapped.
const PRODUCTS_MAX: usize = 256;

/// The last points, for each camera by product.
#[derive(Debug)]
pub struct Trend(Vec<BTreeMap<Arc<str>, VecDeque<Point>>>);

#[derive(Serialize)]
struct PointJson {
    epoch: u64,
    frame: u64,
    time: String,
    score: Option<f32>,
    threshold: Option<f32>,
    decision: &'static str,
}

impl PointJson {
    fn of(point: &Point) -> Self {
        Self {
            epoch: point.epoch,
            frame: point.frame,
            time: humantime::format_rfc3339_micros(point.time).to_string(),
            score: point.score,
            threshold: point.threshold,
            decision: point.decision.name(),
        }
    }
}

/// Points of several cameras as a JSON array; `name` is that of a camera's index.
pub(super) fn json<'a>(points: &'a [Point], name: impl Fn(usize) -> &'a str) -> String {
    #[derive(Serialize)]
    struct Passing<'a> {
        camera: &'a str,
        product: Option<&'a str>,
        #[serde(flatten)]
        point: PointJson,
    }
    let passing = |point: &'a Point| Passing {
        camera: name(point.camera),
        product: point.product.as_deref(),
        point: PointJson::of(point),
    };
    serde_json::to_string(&points.iter().map(passing).collect::<Vec<_>>()).unwrap_or_default()
}

impl Trend {
    pub(super) fn new(cameras: usize) -> Self {
        Self(vec![BTreeMap::new(); cameras])
    }

    /// Adds a verdict on a part of a known product; others have no trend.
    pub(super) fn add(&mut self, point: Point) {
        let Some(product) = point.product.clone() else { return };
        let Some(products) = self.0.get_mut(point.camera) else { return };
        if products.len() >= PRODUCTS_MAX && !products.contains_key(&product) {
            // A model of before, most likely: whoever was seen the longest ago goes.
            let last_seen = |points: &VecDeque<Point>| points.back().map(|last| last.time);
            let oldest = products.iter().min_by_key(|(_, points)| last_seen(points));
            let Some(oldest) = oldest.map(|(product, _)| Arc::clone(product)) else { return };
            products.remove(&oldest);
        }
        let points = products.entry(product).or_default();
        if points.len() >= POINTS_MAX {
            points.pop_front();
        }
        points.push_back(point);
    }

    /// A camera's products, each with its points, the oldest first.
    pub(super) fn json(&self, camera: usize) -> String {
        #[derive(Serialize)]
        struct Json<'a> {
            products: BTreeMap<&'a str, Vec<PointJson>>,
        }
        let products = self.0.get(camera).into_iter().flatten();
        let products = products
            .map(|(product, points)| (&**product, points.iter().map(PointJson::of).collect()))
            .collect();
        serde_json::to_string(&Json { products }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::verdict::Decision;

    fn point(product: &str, frame: u64) -> Point {
        Point {
            camera: 0,
            product: Some(product.into()),
            epoch: 1,
            frame,
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(frame),
            score: Some(0.5),
            threshold: Some(1.0),
            decision: Decision::Fail,
        }
    }

    #[test]
    fn the_last_points_of_each_product_are_kept_and_products_are_bounded() {
        let mut trend = Trend::new(1);
        for frame in 0..1_000 {
            trend.add(point("cap", frame));
        }
        trend.add(point("wood", 1_000));
        let json: serde_json::Value = serde_json::from_str(&trend.json(0)).unwrap();
        let caps = json["products"]["cap"].as_array().unwrap();
        assert_eq!(
            (caps.len(), &caps[0]["frame"], &caps[299]["frame"]),
            (300, &700.into(), &999.into())
        );
        let expected = serde_json::json!({
            "epoch": 1, "frame": 1000, "time": "1970-01-01T00:16:40.000000Z", "score": 0.5,
            "threshold": 1.0, "decision": "fail"
        });
        assert_eq!(json["products"]["wood"][0], expected);
        // Models come and go.
        for frame in 1_001..2_000 {
            trend.add(point(&format!("product {frame}"), frame));
        }
        assert_eq!(trend.0[0].len(), PRODUCTS_MAX);
        assert!(trend.0[0].contains_key("product 1999") && !trend.0[0].contains_key("cap"));
        // Of no camera of ours.
        trend.add(Point { camera: 7, ..point("cap", 0) });
        assert_eq!(trend.json(7), "{\"products\":{}}");
    }

    #[test]
    fn points_of_a_tick_name_camera_and_product() {
        let json = json(&[point("cap", 1)], |_| "top");
        assert!(
            json.starts_with("[{\"camera\":\"top\",\"product\":\"cap\",\"epoch\":1,\"frame\":1,"),
            "{json}"
        );
    }
}
