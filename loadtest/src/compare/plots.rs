//! Plots, each as SVG and as PNG: CPU per request, latency by percentile, throughput against connections.
//!
//! Owns: the drawing. Never: a figure that is not in the results, or an axis that begins where it flatters.
//! Tested here by drawing made-up results.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, FontTransform, register_font};

use super::Failure;
use super::results::{PointResult, Results};
use super::scenario::{Kind, Unit};

const SIZE: (u32, u32) = (1200, 640);

/// Width of the names at the right, which hide no figure there.
const LEGEND_WIDTH: u32 = 110;

/// Most groups of bars in a plot, so that their labels and figures have room.
const GROUPS_MAX: usize = 6;

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
    /// Groups of bars; the labels of the groups, in two lines.
    Bars(Vec<(String, String)>),
    /// Lines over labelled places.
    Over(Vec<String>),
    /// Lines over labelled places, whose heights are powers of ten.
    Decades(Vec<String>),
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

/// Bars: every loaded point of a unit, every candidate; so many in a plot as have room.
fn costs(results: &Results, unit: Unit, file: &str, up: &'static str) -> Vec<Plot> {
    let points: Vec<(&str, &PointResult)> = results
        .scenarios
        .iter()
        .filter(|scenario| scenario.unit == unit && scenario.kind == Kind::Load)
        .flat_map(|scenario| scenario.points.iter().map(|point| (scenario.name.as_str(), point)))
        .collect();
    let value = |point: &PointResult, name: &str| Some(point.cell(name)?.summary.cost?.median);
    let mut plots = Vec::new();
    // As even as they can be: two plots of four groups rather than one of six and one of two.
    let count = points.len().div_ceil(GROUPS_MAX).max(1);
    for (index, points) in points.chunks(points.len().div_ceil(count).max(1)).enumerate() {
        let label =
            |(name, point): &(&str, &PointResult)| ((*name).to_owned(), point.point.label.clone());
        let lines = lines(results, |name| {
            let figures = points.iter().enumerate();
            figures
                .filter_map(|(index, (_, point))| Some((index as f64, value(point, name)?)))
                .collect()
        });
        if lines.is_empty() {
            continue;
        }
        plots.push(Plot {
            file: if index == 0 { file.to_owned() } else { format!("{file}-{}", index + 1) },
            title: format!("{up}, less is better"),
            across: "",
            up,
            shape: Shape::Bars(points.iter().map(label).collect()),
            lines,
        });
    }
    plots
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
    (!lines.is_empty()).then(|| Plot {
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
                    .map(|(index, (_, us))| (index as f64, (us.max(1.0) / 1000.0).log10()))
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
                up: "latency in ms, each line ten times the one below",
                shape: Shape::Decades(labels),
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
    let failed = |error: DrawingAreaErrorKind<B::ErrorType>| error.to_string();
    area.fill(&WHITE).map_err(failed)?;
    let (left, right) = area.split_horizontally(SIZE.0 - LEGEND_WIDTH);
    legend(plot, &right)?;
    let places = match &plot.shape {
        Shape::Bars(labels) => labels.len(),
        Shape::Over(labels) | Shape::Decades(labels) => labels.len(),
    };
    let heights = height(plot);
    let decades = matches!(plot.shape, Shape::Decades(_));
    let mut chart = ChartBuilder::on(&left)
        .caption(&plot.title, ("sans-serif", 20))
        .margin(14)
        .x_label_area_size(58)
        .y_label_area_size(84)
        .build_cartesian_2d(-0.5..places as f64 - 0.5, heights.clone())
        .map_err(failed)?;
    let mut mesh = chart.configure_mesh();
    mesh.disable_x_mesh().x_desc(plot.across).y_desc(plot.up).max_light_lines(1);
    let across = |across: &f64| match &plot.shape {
        Shape::Bars(_) => String::new(),
        Shape::Over(labels) | Shape::Decades(labels) => label_at(labels, *across),
    };
    let up = |up: &f64| if decades { decade(*up) } else { amount(*up) };
    mesh.x_labels(places * 2 + 1).x_label_formatter(&across).y_label_formatter(&up);
    if decades {
        mesh.y_labels((heights.end - heights.start) as usize + 1);
    }
    mesh.label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 15))
        .draw()
        .map_err(failed)?;
    match &plot.shape {
        Shape::Bars(labels) => {
            bars(plot, &mut chart)?;
            group_labels(labels, &chart, &left)?;
        }
        Shape::Over(_) | Shape::Decades(_) => curves(plot, &mut chart)?,
    }
    area.present().map_err(failed)
}

/// From nothing to above the tallest; with powers of ten, from the power below the least to the one above.
fn height(plot: &Plot) -> std::ops::Range<f64> {
    let all = plot.lines.iter().flat_map(|line| &line.points).map(|(_, up)| *up);
    match plot.shape {
        // The figures stand above the bars.
        Shape::Bars(_) => 0.0..(all.fold(0.0, f64::max) * 1.12).max(f64::MIN_POSITIVE),
        Shape::Over(_) => 0.0..(all.fold(0.0, f64::max) * 1.05).max(f64::MIN_POSITIVE),
        Shape::Decades(_) => {
            let least = all.clone().fold(f64::MAX, f64::min).floor();
            least..all.fold(f64::MIN, f64::max).ceil().max(least + 1.0)
        }
    }
}

/// The candidates' names in their colours.
fn legend<B: DrawingBackend>(plot: &Plot, area: &Area<B>) -> Result<(), String> {
    for (index, line) in plot.lines.iter().enumerate() {
        let top = 60 + 24 * i32::try_from(index).unwrap_or(0);
        let mark = Rectangle::new([(0, top), (18, top + 12)], line.colour.filled());
        area.draw(&mark).map_err(|error| error.to_string())?;
        let name = Text::new(line.name.clone(), (26, top - 1), ("sans-serif", 15));
        area.draw(&name).map_err(|error| error.to_string())?;
    }
    Ok(())
}

type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn bars<B: DrawingBackend>(plot: &Plot, chart: &mut Chart<'_, B>) -> Result<(), String> {
    let failed = |error: DrawingAreaErrorKind<B::ErrorType>| error.to_string();
    let width = 0.84 / plot.lines.len() as f64;
    let upright = ("sans-serif", 12).into_font().transform(FontTransform::Rotate270);
    let upright = TextStyle::from(upright).pos(Pos::new(HPos::Left, VPos::Center));
    for (index, line) in plot.lines.iter().enumerate() {
        let colour = line.colour;
        let left = |group: f64| group - 0.42 + width * index as f64;
        let bars = line.points.iter().map(|&(group, up)| {
            Rectangle::new([(left(group), 0.0), (left(group) + width * 0.9, up)], colour.filled())
        });
        chart.draw_series(bars).map_err(failed)?;
        let figures = line.points.iter().map(|&(group, up)| {
            let middle = (left(group) + width * 0.45, up);
            EmptyElement::at(middle) + Text::new(figure(up), (0, -5), upright.clone())
        });
        chart.draw_series(figures).map_err(failed)?;
    }
    Ok(())
}

/// The labels of groups of bars, below the axis.
fn group_labels<B: DrawingBackend>(
    labels: &[(String, String)],
    chart: &Chart<'_, B>,
    area: &Area<B>,
) -> Result<(), String> {
    let style = TextStyle::from(("sans-serif", 14).into_font());
    let style = style.pos(Pos::new(HPos::Center, VPos::Top));
    for (index, (name, label)) in labels.iter().enumerate() {
        // The chart's places are those of the whole picture, as the area's are, which begins where that does.
        let (across, down) = chart.plotting_area().map_coordinate(&(index as f64, 0.0));
        for (line, text) in [name, label].into_iter().enumerate() {
            let down = down + 8 + 20 * i32::try_from(line).unwrap_or(0);
            let text = Text::new(text.clone(), (across, down), style.clone());
            area.draw(&text).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn curves<B: DrawingBackend>(plot: &Plot, chart: &mut Chart<'_, B>) -> Result<(), String> {
    // The first, which is what it is about, lies on top.
    for line in plot.lines.iter().rev() {
        let style = line.colour.stroke_width(if line.name == "limpet" { 4 } else { 2 });
        let curve = LineSeries::new(line.points.iter().copied(), style).point_size(3);
        chart.draw_series(curve).map_err(|error| error.to_string())?;
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
        0.0 => "0".to_owned(),
        _ => format!("{figure:.1}"),
    }
}

/// A power of ten; nothing between two of them.
fn decade(power: f64) -> String {
    let whole = power.round();
    match (power - whole).abs() < 0.01 {
        true => format!("{:.*}", (-whole).max(0.0) as usize, 10f64.powf(whole)),
        false => String::new(),
    }
}

/// A figure in three digits.
fn figure(figure: f64) -> String {
    match figure {
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
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
        let plot = costs(&results(), Unit::Request, "x", "y").remove(0);
        let names: Vec<_> = plot.lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["limpet", "nginx"]);
        assert_eq!(plot.lines[1].points, [(0.0, 20.0), (1.0, 21.0)]);
    }

    #[test]
    fn many_groups_of_bars_are_spread_evenly_over_plots() {
        let mut results = results();
        let more = super::super::report::tests::results().scenarios.remove(0).points;
        for _ in 0..3 {
            let scenario = &mut results.scenarios[0];
            for point in &more {
                let mut again = super::super::results::tests::point(&[("limpet", &[Some(1.0)])]);
                again.point.label = point.point.label.clone();
                scenario.points.push(again);
            }
        }
        let plots = costs(&results, Unit::Request, "x", "y");
        let sizes = plots.iter().map(|plot| match &plot.shape {
            Shape::Bars(labels) => labels.len(),
            Shape::Over(_) | Shape::Decades(_) => 0,
        });
        assert_eq!(sizes.collect::<Vec<_>>(), [4, 4]);
        assert_eq!(plots[1].file, "x-2");
    }

    #[test]
    fn labels_stand_at_their_places_only() {
        let labels = ["a".to_owned(), "b".to_owned()];
        assert_eq!(label_at(&labels, 1.0), "b");
        assert_eq!(label_at(&labels, 0.5), "");
        assert_eq!(label_at(&labels, -1.0), "");
        assert_eq!(amount(25_000.0), "25 000");
        assert_eq!([decade(2.0), decade(-2.0), decade(0.5)], ["100", "0.01", ""]);
        assert_eq!([figure(123.4), figure(12.34), figure(1.234)], ["123", "12.3", "1.23"]);
    }
}
