//! Plots, each as SVG and as PNG: CPU per request, latency by percentile, throughput against connections.
//!
//! Owns: the drawing. Never: a figure that is not in the results, or an axis that begins where it flatters.
//! Tested here by drawing made-up results.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::Failure;
use super::results::{PointResult, Results};
use super::scenario::{Kind, Unit};

const SIZE: (u32, u32) = (1100, 640);

/// A font that comes along: plots look the same everywhere, and need none installed.
const FONT: &[u8] = include_bytes!("../../fonts/DejaVuSans-subset.ttf");

/// One colour for each candidate, told apart by those who see no red or green as well.
const COLOURS: [RGBColor; 10] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(120, 94, 240),
    RGBColor(148, 103, 60),
    RGBColor(90, 90, 90),
    RGBColor(0, 0, 0),
];

/// A candidate's points, in its colour.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    name: String,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

/// What a plot shows.
#[derive(Debug, Clone, PartialEq)]
struct Plot {
    /// Its files are named so.
    file: String,
    title: String,
    across: &'static str,
    up: &'static str,
    shape: Shape,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    /// Groups of bars; the labels of the groups.
    Bars(Vec<String>),
    /// Lines over labelled places.
    Over(Vec<String>),
}

/// Draws what the results allow; the names of the plots, without their endings.
///
/// # Errors
/// When a plot cannot be drawn or written.
pub fn draw(results: &Results, out: &Path) -> Result<Vec<String>, Failure> {
    // Registering it twice is no mistake.
    let _ = register_font("sans-serif", FontStyle::Normal, FONT);
    let mut plots = Vec::new();
    plots.extend(costs(results, Unit::Request, "cpu-per-request", "CPU µs per request"));
    plots.extend(costs(results, Unit::Gibibyte, "cpu-per-gibibyte", "CPU ms per GiB"));
    plots.extend(throughput(results));
    plots.extend(latencies(results));
    for plot in &plots {
        let failed = |error: String| Failure::Plot { name: plot.file.clone(), error };
        vector(plot, &out.join(format!("{}.svg", plot.file))).map_err(failed)?;
        bitmap(plot, &out.join(format!("{}.png", plot.file))).map_err(failed)?;
    }
    Ok(plots.into_iter().map(|plot| plot.file).collect())
}

/// Bars: every loaded point of a unit, every candidate.
fn costs(results: &Results, unit: Unit, file: &str, up: &'static str) -> Option<Plot> {
    let points: Vec<(&str, &PointResult)> = results
        .scenarios
        .iter()
        .filter(|scenario| scenario.unit == unit && scenario.kind == Kind::Load)
        .flat_map(|scenario| scenario.points.iter().map(|point| (scenario.name.as_str(), point)))
        .collect();
    let labels =
        points.iter().map(|(name, point)| format!("{name}: {}", point.point.label)).collect();
    let value = |point: &PointResult, name: &str| Some(point.cell(name)?.summary.cost?.median);
    let lines = lines(results, |name| {
        let figures = points.iter().enumerate();
        figures
            .filter_map(|(index, (_, point))| Some((index as f64, value(point, name)?)))
            .collect()
    });
    let title = format!("{up}, less is better");
    let shape = Shape::Bars(labels);
    (!lines.is_empty()).then(|| Plot { file: file.to_owned(), title, across: "", up, shape, lines })
}

/// Lines: responses per second over connections.
fn throughput(results: &Results) -> Option<Plot> {
    let scenario = results.scenarios.iter().find(|scenario| scenario.name == "small")?;
    let labels = scenario.points.iter().map(|point| point.point.connections.to_string()).collect();
    let lines = lines(results, |name| {
        let rate =
            |point: &PointResult| Some(point.cell(name)?.summary.requests_per_second?.median);
        let figures = scenario.points.iter().enumerate();
        figures.filter_map(|(index, point)| Some((index as f64, rate(point)?))).collect()
    });
    Some(Plot {
        file: "throughput".to_owned(),
        title: "Requests per second through one core, more is better".to_owned(),
        across: "connections",
        up: "requests per second",
        shape: Shape::Over(labels),
        lines,
    })
}

/// Lines: latency over percentiles, a plot for each open-loop point and each small one.
fn latencies(results: &Results) -> Vec<Plot> {
    let mut plots = Vec::new();
    for scenario in results.scenarios.iter().filter(|scenario| scenario.kind != Kind::Idle) {
        for point in &scenario.points {
            let Some(longest) =
                point.cells.iter().map(|cell| &cell.curve).max_by_key(|curve| curve.len())
            else {
                continue;
            };
            let labels: Vec<String> =
                longest.iter().map(|(percentile, _)| percentile.to_string()).collect();
            let lines = lines(results, |name| {
                let curve = point.cell(name).map(|cell| cell.curve.as_slice()).unwrap_or_default();
                curve
                    .iter()
                    .enumerate()
                    .map(|(index, (_, time))| (index as f64, time / 1000.0))
                    .collect()
            });
            if lines.is_empty() {
                continue;
            }
            let label = point.point.label.replace([' ', ','], "-").replace("--", "-");
            plots.push(Plot {
                file: format!("latency-{}-{label}", scenario.name),
                title: format!("{}: {}", scenario.title, super::report::heading(point)),
                across: "percentile",
                up: "latency in ms",
                shape: Shape::Over(labels),
                lines,
            });
        }
    }
    plots
}

fn lines(results: &Results, points: impl Fn(&str) -> Vec<(f64, f64)>) -> Vec<Line> {
    results
        .candidates
        .iter()
        .enumerate()
        .map(|(index, facts)| Line {
            name: facts.name.clone(),
            colour: if facts.name == "floor" {
                BLACK
            } else {
                COLOURS[index % (COLOURS.len() - 1)]
            },
            points: points(&facts.name),
        })
        .filter(|line| !line.points.is_empty())
        .collect()
}

fn vector(plot: &Plot, path: &Path) -> Result<(), String> {
    paint(plot, &SVGBackend::new(path, SIZE).into_drawing_area())
}

fn bitmap(plot: &Plot, path: &Path) -> Result<(), String> {
    let mut pixels = vec![0; SIZE.0 as usize * SIZE.1 as usize * 3];
    paint(plot, &BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area())?;
    let file = File::create(path).map_err(|error| error.to_string())?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), SIZE.0, SIZE.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(&pixels).map_err(|error| error.to_string())
}

type Area<B> = DrawingArea<B, plotters::coord::Shift>;

fn paint<B: DrawingBackend>(plot: &Plot, area: &Area<B>) -> Result<(), String> {
    area.fill(&WHITE).map_err(|error| error.to_string())?;
    let labels = match &plot.shape {
        Shape::Bars(labels) | Shape::Over(labels) => labels,
    };
    let top =
        plot.lines.iter().flat_map(|line| &line.points).map(|(_, up)| *up).fold(0.0, f64::max);
    let last = labels.len().saturating_sub(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(&plot.title, ("sans-serif", 20))
        .margin(14)
        .x_label_area_size(56)
        .y_label_area_size(84)
        .build_cartesian_2d(-0.5..last + 0.5, 0.0..(top * 1.05).max(f64::MIN_POSITIVE))
        .map_err(|error| error.to_string())?;
    let places = labels.len() * 2 + 1;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(places)
        .x_label_formatter(&|across| label_at(labels, *across))
        .y_label_formatter(&|up| amount(*up))
        .x_desc(plot.across)
        .y_desc(plot.up)
        .label_style(("sans-serif", if labels.len() > 8 { 10 } else { 13 }))
        .axis_desc_style(("sans-serif", 14))
        .draw()
        .map_err(|error| error.to_string())?;
    match plot.shape {
        Shape::Bars(_) => bars(plot, &mut chart)?,
        Shape::Over(_) => curves(plot, &mut chart)?,
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 13))
        .draw()
        .map_err(|error| error.to_string())?;
    area.present().map_err(|error| error.to_string())
}

type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn bars<B: DrawingBackend>(plot: &Plot, chart: &mut Chart<'_, B>) -> Result<(), String> {
    let width = 0.84 / plot.lines.len() as f64;
    for (index, line) in plot.lines.iter().enumerate() {
        let colour = line.colour;
        let left = |group: f64| group - 0.42 + width * index as f64;
        let bars = line.points.iter().map(|&(group, up)| {
            Rectangle::new([(left(group), 0.0), (left(group) + width * 0.9, up)], colour.filled())
        });
        chart
            .draw_series(bars)
            .map_err(|error| error.to_string())?
            .label(&line.name)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 16, y + 5)], colour.filled()));
    }
    Ok(())
}

fn curves<B: DrawingBackend>(plot: &Plot, chart: &mut Chart<'_, B>) -> Result<(), String> {
    for line in &plot.lines {
        let colour = line.colour;
        let style = colour.stroke_width(if line.name == "limpet" { 4 } else { 2 });
        let curve = LineSeries::new(line.points.iter().copied(), style).point_size(3);
        chart
            .draw_series(curve)
            .map_err(|error| error.to_string())?
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    Ok(())
}

/// The label of a place; nothing between two places.
fn label_at(labels: &[String], across: f64) -> String {
    let index = across.round();
    if (across - index).abs() > 0.01 || index < 0.0 {
        return String::new();
    }
    labels.get(index as usize).cloned().unwrap_or_default()
}

fn amount(figure: f64) -> String {
    match figure {
        10_000.0.. => format!("{:.0} 000", figure / 1000.0),
        10.0.. => format!("{figure:.0}"),
        _ => format!("{figure:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::results;
    use super::*;
    use std::fs;

    #[test]
    fn plots_are_drawn_as_vectors_and_as_pixels() {
        let out = std::env::temp_dir().join(format!("compare-plots-{}", std::process::id()));
        fs::create_dir_all(&out).unwrap();
        let names = draw(&results(), &out).unwrap();
        assert_eq!(
            names,
            ["cpu-per-request", "latency-targets-1-target", "latency-targets-1000-targets"]
        );
        for name in names {
            let svg = fs::read_to_string(out.join(format!("{name}.svg"))).unwrap();
            assert!(svg.contains("limpet") && svg.contains("nginx"), "{name}");
            let png = fs::read(out.join(format!("{name}.png"))).unwrap();
            assert!(png.starts_with(b"\x89PNG") && png.len() > 2000, "{name}: {}", png.len());
        }
        fs::remove_dir_all(out).unwrap();
    }

    #[test]
    fn candidates_without_a_figure_have_no_line() {
        let plot = costs(&results(), Unit::Request, "x", "y").unwrap();
        let names: Vec<_> = plot.lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["limpet", "nginx"]);
        assert_eq!(plot.lines[1].points, [(0.0, 20.0), (1.0, 21.0)]);
    }

    #[test]
    fn labels_stand_at_their_places_only() {
        let labels = ["a".to_owned(), "b".to_owned()];
        assert_eq!(label_at(&labels, 1.0), "b");
        assert_eq!(label_at(&labels, 0.5), "");
        assert_eq!(label_at(&labels, -1.0), "");
        assert_eq!(amount(25_000.0), "25 000");
    }
}
