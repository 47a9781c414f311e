/* SPDX-License-Identifier: BSD-2-Clause */
/* Gnuplot scripts. Along x stand the groups, and in each group the grains. */
#include "report_parts.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

#define SERIES_MAX 3

struct series {
	const char *policy;
	const char *colour;
	int point; /* gnuplot's number of the mark, so that colour is not all that tells them apart */
};

struct chart_kind {
	const char *name;
	const char *title;
	const char *y_label;
	double (*value)(const struct report_row *row);
	bool percent; /* stacked bars to 100 %; otherwise lines on a logarithmic axis */
	size_t series_count;
	struct series series[SERIES_MAX];
};

static double value_hypercalls(const struct report_row *row)
{
	return (double)row_hypercalls(row);
}

static double value_exposed(const struct report_row *row)
{
	return (double)row->counted.exposed_page_steps;
}

static double value_leaves(const struct report_row *row)
{
	return (double)leaves_sum(&row->modelled.after);
}

#define EXACT                         \
	{                             \
		"exact", "#0072b2", 7 \
	}
#define WIDEN                         \
	{                             \
		"widen", "#d55e00", 5 \
	}
#define REFUSE                         \
	{                              \
		"refuse", "#009e73", 9 \
	}

/* clang-format off */
static const struct chart_kind kinds[CHART_COUNT] = {
	[CHART_HYPERCALLS] = {"calls", "Hypercalls by grain and policy", "hypercalls",
			      value_hypercalls, false, 3, {EXACT, WIDEN, REFUSE}},
	[CHART_WIDENED] = {"widened", "Pages shared unasked, by grain",
			   "% of pages shared", row_widened_percent, true, 1, {WIDEN}},
	[CHART_EXPOSED] = {"exposed", "Exposed page-steps by grain", "exposed page-steps",
			   value_exposed, false, 1, {WIDEN}},
	[CHART_REFUSED] = {"refused", "Pages refused, by grain", "% of pages asked for",
			   row_refused_percent, true, 1, {REFUSE}},
	[CHART_LEAVES] = {"leaves", "Leaves after the workload (modelled)", "leaves",
			  value_leaves, false, 3, {EXACT, WIDEN, REFUSE}},
};
/* clang-format on */

struct canvas {
	const struct groups *groups;
	const struct chart_kind *kind;
	size_t first; /* group */
	size_t last;
	double floor; /* where a logarithmic axis shows 0 */
	double top;
	bool zero; /* among the figures */
	bool any;  /* rows to draw */
};

static const struct report_row *row_at(const struct canvas *c, size_t group, size_t grain, size_t s)
{
	return group_row(c->groups, group, c->groups->grain[grain], c->kind->series[s].policy);
}

static size_t x_at(const struct canvas *c, size_t group, size_t grain)
{
	return (group - c->first) * (c->groups->grain_count + 1) + grain + 1;
}

/* The range of y is that of all groups, so that charts of the same kind can be compared. */
static void find_range(struct canvas *c)
{
	double least = 0;
	double most = 0;

	for (size_t i = 0; i < c->groups->count * c->groups->grain_count; i++) {
		for (size_t s = 0; s < c->kind->series_count; s++) {
			const struct report_row *row = row_at(c, i / c->groups->grain_count,
							      i % c->groups->grain_count, s);
			double value = row == NULL ? 0 : c->kind->value(row);

			c->zero = c->zero || (row != NULL && value <= 0);
			c->any = c->any || row != NULL;
			least = value > 0 && (least <= 0 || value < least) ? value : least;
			most = value > most ? value : most;
		}
	}
	c->floor = 1;
	while (c->floor * 10 <= least) {
		c->floor *= 10;
	}
	c->top = c->floor * 10;
	while (c->top < most * 2) {
		c->top *= 10;
	}
	c->floor *= c->zero ? 0.3 : 1;
}

/* In single quotes gnuplot expands nothing but the quote itself. */
static void write_quoted(const char *text, FILE *out)
{
	fputc('\'', out);
	for (; *text != '\0'; text++) {
		fputc(*text >= ' ' && *text <= '~' && strchr("'\"`\\@", *text) == NULL ? *text
										       : '_',
		      out);
	}
	fputc('\'', out);
}

static void write_frame(const struct canvas *c, FILE *out)
{
	size_t group_count = c->last - c->first + 1;
	size_t width = c->groups->grain_count + 1;

	fprintf(out,
		"set terminal svg size %zu,330 fixed font 'sans-serif,13' background '#ffffff'\n"
		"set encoding utf8\nunset key\nset border 2 lc rgb '#999999'\n"
		"set tics nomirror scale 0 tc rgb '#333333'\n"
		"set grid ytics lt 1 lc rgb '#e4e4e4'\n"
		"set lmargin 9\nset rmargin 1\nset tmargin 2\nset bmargin 2\n"
		"set xrange [0:%zu]\nset xtics ()\n",
		group_count >= 3 ? 1090 : 110 + group_count * 330, group_count * width);
	fputs("set ylabel ", out);
	write_quoted(c->kind->y_label, out);
	fputs(" noenhanced offset 0.5,0 tc rgb '#333333'\n", out);
	for (size_t g = c->first; g <= c->last; g++) {
		char title[2 * REPORT_NAME_MAX + 8];

		group_title(c->groups->first[g], title, sizeof(title));
		fputs("set label ", out);
		write_quoted(title, out);
		fprintf(out,
			" at first %zu.0+%zu/2.0, graph 1.06 center noenhanced font ',14' tc rgb "
			"'#111111'\n",
			x_at(c, g, 0) - 1, width);
		if (g > c->first) {
			fprintf(out,
				"set arrow from %zu, graph 0 to %zu, graph 1.1 nohead lc rgb "
				"'#bbbbbb'\n",
				x_at(c, g, 0) - 1, x_at(c, g, 0) - 1);
		}
		for (size_t i = 0; i < c->groups->grain_count; i++) {
			fputs("set xtics add (", out);
			write_quoted(c->groups->grain[i], out);
			fprintf(out, " %zu)\n", x_at(c, g, i));
		}
	}
}

static void write_log_axis(const struct canvas *c, FILE *out)
{
	static const char *const unit[] = {"", "k", "M", "G", "T", "P"};
	double tick = 1;

	fprintf(out, "set logscale y\nset yrange [%g:%g]\nset ytics ()\n", c->floor, c->top);
	for (unsigned int power = 0; power < 18 && tick <= c->top; power++, tick *= 10) {
		if (tick >= c->floor) {
			fprintf(out, "set ytics add ('%u%s' %g)\n",
				power % 3 == 0	 ? 1U
				: power % 3 == 1 ? 10U
						 : 100U,
				unit[power / 3], tick);
		}
	}
	/* A 0 has no place on this axis, so it gets one below the smallest figure. */
	if (c->zero) {
		fprintf(out, "set ytics add ('0' %g)\n", c->floor);
	}
}

static void write_label(const struct canvas *c, const struct report_row *row,
			const struct report_row *base, FILE *out)
{
	double value = c->kind->value(row);
	double from = base == NULL ? 0 : c->kind->value(base);

	if (c->kind->percent) {
		fprintf(out, value > 0 && value < 0.5 ? "\"<1\"" : "\"%.0f\"", value);
	} else if (row == base || from <= 0 || value <= 0) {
		fputs("\" \"", out);
	} else {
		double ratio = value / from;

		fprintf(out, "\"%.*fx\"", ratio < 0.095 ? 2 : ratio < 9.95 ? 1 : 0, ratio);
	}
}

/* An empty line ends a line of the plot: between groups, and before "folio", which is no size. */
static void write_series(const struct canvas *c, size_t s, FILE *out)
{
	unsigned int lg2;

	fprintf(out, "$s%zu << EOD\n", s);
	for (size_t g = c->first; g <= c->last; g++) {
		const struct report_row *base = group_row(c->groups, g, "4K", "exact");

		for (size_t i = 0; i < c->groups->grain_count; i++) {
			const struct report_row *row = row_at(c, g, i, s);
			double value;

			if (row == NULL || !size_parse(c->groups->grain[i], &lg2)) {
				fputs("\n", out);
			}
			if (row != NULL) {
				value = c->kind->value(row);
				value = !c->kind->percent && value <= 0 ? c->floor : value;
				fprintf(out, "%zu %.17g ", x_at(c, g, i), value);
				write_label(c, row, base, out);
				fputs("\n", out);
			}
		}
		fputs("\n", out);
	}
	fputs("EOD\n", out);
}

static void plot_lines(const struct canvas *c, FILE *out)
{
	fputs("plot ", out);
	for (size_t s = 0; s < c->kind->series_count; s++) {
		const struct series *series = &c->kind->series[s];

		fprintf(out, "%s$s%zu using 1:2 with linespoints lw 2 pt %d ps 0.8 lc rgb '%s'",
			s == 0 ? "" : ", ", s, series->point, series->colour);
		if (strcmp(series->policy, "widen") == 0) {
			fprintf(out,
				", $s%zu using 1:2:3 with labels offset 0,0.9 noenhanced font ',11' "
				"tc rgb '#8a3c00'",
				s);
		}
	}
	fputs("\n", out);
}

static void plot_bars(const struct canvas *c, FILE *out)
{
	fprintf(out,
		"set yrange [0:100]\nset ytics 25\nset style fill solid noborder\n"
		"plot $s0 using 1:(50):($1-0.4):($1+0.4):2:(100) with boxxyerror lc rgb '#b7d6ea', "
		"$s0 using 1:(0):($1-0.4):($1+0.4):(0):2 with boxxyerror lc rgb '%s', "
		"$s0 using 1:($2>88?$2-5:$2+5):3:($2>88?0xffffff:0x222222) with labels noenhanced "
		"font ',12' tc rgb variable\n",
		c->kind->series[0].colour);
}

static void write_script(const struct canvas *c, FILE *out)
{
	for (size_t s = 0; s < c->kind->series_count; s++) {
		write_series(c, s, out);
	}
	write_frame(c, out);
	if (c->kind->percent) {
		plot_bars(c, out);
	} else {
		write_log_axis(c, out);
		plot_lines(c, out);
	}
}

size_t chart_groups(const struct groups *groups)
{
	size_t lines = (groups->count + CHART_GROUPS_MAX - 1) / CHART_GROUPS_MAX;

	return lines == 0 ? 1 : (groups->count + lines - 1) / lines;
}

int chart_draw(const struct groups *groups, enum chart chart, size_t first_group, char **svg)
{
	struct canvas c = {.groups = groups, .kind = &kinds[chart], .first = first_group};
	char *script = NULL;
	size_t length;
	FILE *out;
	char name[32];
	int result;

	*svg = NULL;
	c.last = first_group + chart_groups(groups) - 1;
	c.last = c.last < groups->count ? c.last : groups->count - 1;
	find_range(&c);
	if (!c.any) {
		return EXIT_CODE_OK;
	}
	out = open_memstream(&script, &length);
	if (out != NULL) {
		write_script(&c, out);
	}
	if (out == NULL || fclose(out) != 0) {
		free(script);
		log_error("out of memory");
		return EXIT_CODE_OS;
	}
	snprintf(name, sizeof(name), "%s%zu", c.kind->name, first_group);
	result = plot_run(script, length, name, c.kind->title, svg);
	free(script);
	return result;
}
