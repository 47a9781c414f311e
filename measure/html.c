/* SPDX-License-Identifier: BSD-2-Clause */
/* One page that needs nothing else: no script, no font, no file, no network. */
#include "report_parts.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

static const char page_title[] =
	"What does it cost to convert pages at 4K, 16K, 64K, 2M or whole folios?";

static const char page_head[] =
	"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
	"<title>%s</title>\n<style>\n"
	":root { color-scheme: light dark; --ink: #1a1a1a; --soft: #5a5a5a; --line: #d8d8d8;\n"
	"  --back: #fbfbf9; --card: #ffffff; --band: #f1f1ec; }\n"
	"@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e6; --soft: #a9a9a5;\n"
	"  --line: #3d3d3b; --back: #181817; --card: #222221; --band: #2a2a28; } }\n"
	"body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; color: var(--ink);\n"
	"  background: var(--back); font: 1rem/1.5 system-ui, sans-serif; }\n"
	"h1 { font-size: 1.7rem; line-height: 1.25; }\n"
	"h2 { font-size: 1.25rem; margin: 2.2rem 0 0.6rem; }\n"
	"p, li, figcaption, blockquote, dl { max-width: 56rem; }\n"
	"blockquote { margin: 1rem 0; padding: 0.2rem 1rem; border-left: 4px solid #0072b2; }\n"
	"blockquote footer, .soft, figcaption { color: var(--soft); }\n"
	"dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1rem; }\n"
	"dt { color: var(--soft); } dd { margin: 0; }\n"
	".tag { border: 1px solid var(--line); border-radius: 0.6rem; padding: 0 0.5rem;\n"
	"  font-size: 0.8rem; font-weight: normal; white-space: nowrap; }\n"
	"figure { margin: 0; }\n"
	".plot { background: #ffffff; border: 1px solid var(--line); border-radius: 6px;\n"
	"  margin: 0.6rem 0; padding: 0.4rem; overflow-x: auto; }\n"
	".plot svg { display: block; max-width: 100%%; min-width: 34rem; height: auto; }\n"
	".key span { margin-right: 1.2rem; white-space: nowrap; }\n"
	".key i { display: inline-block; width: 0.9rem; height: 0.9rem; margin-right: 0.4rem;\n"
	"  vertical-align: -0.1rem; border-radius: 2px; }\n"
	".scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px;\n"
	"  background: var(--card); }\n"
	"table { border-collapse: collapse; font-size: 0.82rem; white-space: nowrap;\n"
	"  font-variant-numeric: tabular-nums; }\n"
	"th, td { padding: 0.25rem 0.6rem; text-align: right; }\n"
	"thead th { vertical-align: bottom; white-space: normal; border-bottom: 1px solid "
	"var(--line);\n  background: var(--band); font-weight: 600; }\n"
	"td.name, th.name { text-align: left; }\n"
	"tr.first td { border-top: 2px solid var(--line); }\n"
	"tbody tr:hover td { background: var(--band); }\n"
	"</style>\n</head>\n<body>\n";

static void write_escaped(const char *text, FILE *out)
{
	for (; *text != '\0'; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		case '\'':
			fputs("&#39;", out);
			break;
		default:
			fputc(*text, out);
		}
	}
}

static void write_count(uint64_t count, FILE *out)
{
	char text[COUNT_TEXT_MAX];

	count_text(text, count);
	fprintf(out, "<td>%s</td>", text);
}

static void write_question(FILE *out)
{
	fprintf(out, "<h1>%s</h1>\n", page_title);
	fputs("<p>A guest with secure memory shows pages to its host and takes them back. On "
	      "Linux the hosts of s390, pKVM, TDX and SNP guests work one 4 KiB page at a time, "
	      "and in July 2023 that was put in question on the linux-mm mailing list:</p>\n"
	      "<blockquote><p>But what I&rsquo;m really wondering is why you need to transition "
	      "pages between secure/insecure on a 4kB boundary. What&rsquo;s the downside to doing "
	      "it on a 16kB or 64kB boundary, or whatever size has been allocated?</p>"
	      "<footer>Matthew Wilcox, linux-mm, 13 July 2023</footer></blockquote>\n"
	      "<p>This page answers with counts: each workload was run with its conversions "
	      "carried out at each of those sizes (the <em>grain</em>) and with each of three "
	      "policies for a request that is smaller than the grain.</p>\n",
	      out);
}

static void write_term(const char *term, const char *text, FILE *out)
{
	fprintf(out, "<dt>%s</dt><dd>", term);
	write_escaped(text, out);
	fputs("</dd>\n", out);
}

static void write_ran(const struct report *report, FILE *out)
{
	fputs("<h2>What was run</h2>\n<dl>\n", out);
	fputs("<dt>Board</dt><dd>", out);
	if (report->board[0] != '\0') {
		write_escaped(report->board, out);
		fputs(", <strong>emulated</strong>: counts are exact, times say nothing about "
		      "hardware",
		      out);
	} else {
		fputs("hardware", out);
	}
	fputs("</dd>\n", out);
	write_term("Machine", report->machine, out);
	write_term("Host kernel", report->kernel, out);
	write_term("Guest", report->vm, out);
	fputs("<dt>Memory</dt><dd>", out);
	print_memory_size(report->memory, out);
	fprintf(out, "</dd>\n<dt>Seed</dt><dd>%llu</dd>\n", (unsigned long long)report->seed);
	for (size_t i = 0; i < report->backing_count; i++) {
		fputs("<dt>Backing ", out);
		write_escaped(report->backing[i].name, out);
		fputs("</dt><dd>", out);
		backing_write(&report->backing[i], out);
		fputs("</dd>\n", out);
	}
	write_term("Written by stage2", report->tool_version, out);
	fputs("</dl>\n", out);
}

static bool write_reading(const struct groups *groups, FILE *out)
{
	char *text = reading_summary(groups);

	fputs("<h2>In words <span class=\"tag\">counted, exact</span></h2>\n<ul>\n", out);
	for (size_t i = 0; text != NULL; i++) {
		fputs("<li>", out);
		write_escaped(text, out);
		fputs("</li>\n", out);
		free(text);
		if (i == groups->count) {
			fputs("</ul>\n", out);
			return true;
		}
		text = reading_group(groups, i);
	}
	return false;
}

#define KEY(colour, text) "<span><i style=\"background:" colour "\"></i>" text "</span>"
#define KEY_POLICIES KEY("#0072b2", "exact") KEY("#d55e00", "widen") KEY("#009e73", "refuse")

static const struct figure {
	const char *title;
	const char *source;
	const char *key;
	const char *caption;
} figures[CHART_COUNT] = {
	[CHART_HYPERCALLS] =
		{"What it costs: hypercalls", "counted, exact", KEY_POLICIES,
		 "Share and unshare hypercalls, one a 4 KiB page, on a logarithmic scale. "
		 "<em>Exact</em> converts what is asked for, so the grain changes nothing. "
		 "<em>Widen</em> converts whole grains; the figure at each mark compares it with 4K: "
		 "above 1x the neighbours cost more calls than they save, below 1x they save more. "
		 "<em>Refuse</em> makes no calls for requests that fill no grain: fewer calls there "
		 "are work left undone."},
	[CHART_WIDENED] =
		{"What it exposes: pages shared unasked", "counted, exact",
		 KEY("#d55e00", "shared unasked") KEY("#b7d6ea", "asked for"),
		 "With <em>widen</em>: of 100 pages that became readable for the host, how many "
		 "nobody had asked for by then. Some are asked for later; until then the host reads "
		 "what the guest did not offer. For a share that is a leak, not only a cost."},
	[CHART_EXPOSED] =
		{"How long it exposes them", "counted, exact", KEY("#d55e00", "widen"),
		 "Pages shared unasked, summed over the requests during which they stayed open and "
		 "unasked, on a logarithmic scale. At 4K there are none: the grain is the page."},
	[CHART_REFUSED] =
		{"What refusing leaves undone", "counted, exact",
		 KEY("#009e73", "refused") KEY("#b7d6ea", "carried out"),
		 "With <em>refuse</em>: of 100 pages asked for, how many filled no grain and were "
		 "not converted. The guest would have to copy through other memory instead."},
	[CHART_LEAVES] =
		{"What it buys: fewer, larger leaves", "modelled", KEY_POLICIES,
		 "Stage-2 leaves needed after the workload if every leaf is as large as its pages "
		 "allow, on a logarithmic scale; fewer is better. Computed from the counted page "
		 "states, not measured."},
};

static int write_figure(const struct groups *groups, enum chart chart, FILE *out)
{
	const struct figure *figure = &figures[chart];
	bool drawn = false;

	fprintf(out,
		"<figure>\n<h2>%s <span class=\"tag\">%s</span></h2>\n<div class=\"key\">%s</div>\n",
		figure->title, figure->source, figure->key);
	for (size_t first = 0; first < groups->count; first += chart_groups(groups)) {
		char *svg;
		int result = chart_draw(groups, chart, first, &svg);

		if (result != EXIT_CODE_OK) {
			return result;
		}
		if (svg != NULL) {
			fprintf(out, "<div class=\"plot\">%s</div>\n", svg);
			drawn = true;
		}
		free(svg);
	}
	fprintf(out, "<figcaption>%s</figcaption>\n</figure>\n",
		drawn ? figure->caption : "No row of this report has such figures.");
	return EXIT_CODE_OK;
}

static void write_table_head(bool emulated, FILE *out)
{
	const char *suffix = emulated ? ", emulated (s)" : " (s)";

	fputs("<thead><tr><th class=\"name\">workload</th><th class=\"name\">backing</th>"
	      "<th class=\"name\">grain</th><th class=\"name\">policy</th>",
	      out);
	for (size_t i = 0; i < counted_field_count; i++) {
		fprintf(out, "<th title=\"%s\">%s</th>", counted_fields[i].meaning,
			counted_fields[i].label);
	}
	fprintf(out,
		"<th class=\"name\">leaves before (modelled)</th>"
		"<th class=\"name\">leaves after (modelled)</th>"
		"<th>time%s</th><th>sharing%s</th><th>unsharing%s</th><th>KVM exits%s</th>"
		"</tr></thead>\n",
		suffix, suffix, suffix, emulated ? ", emulated" : "");
}

static void write_table_row(const struct report_row *row, bool first, FILE *out)
{
	const char *const name[] = {row->workload, row->backing, row->grain, row->policy};

	fputs(first ? "<tr class=\"first\">" : "<tr>", out);
	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		fputs("<td class=\"name\">", out);
		write_escaped(name[i], out);
		fputs("</td>", out);
	}
	for (size_t i = 0; i < counted_field_count; i++) {
		write_count(counted_get(&row->counted, &counted_fields[i]), out);
	}
	fputs("<td class=\"name\">", out);
	leaves_write(&row->modelled.before, out);
	fputs("</td><td class=\"name\">", out);
	leaves_write(&row->modelled.after, out);
	fprintf(out, "</td><td>%.2f</td><td>%.3f</td><td>%.3f</td>", row->timed.seconds,
		row->timed.share_seconds, row->timed.unshare_seconds);
	write_count(row->timed.kvm_exits, out);
	fputs("</tr>\n", out);
}

static void write_table(const struct report *report, FILE *out)
{
	fputs("<h2>All rows</h2>\n<p class=\"soft\">Scroll sideways for all columns; the words are "
	      "explained below. 4K is run once: there all policies are the same.</p>\n"
	      "<div class=\"scroll\"><table>\n",
	      out);
	write_table_head(report->board[0] != '\0', out);
	fputs("<tbody>\n", out);
	for (size_t i = 0; i < report->row_count; i++) {
		write_table_row(&report->row[i],
				i == 0 || !group_has(&report->row[i - 1], &report->row[i]), out);
	}
	fputs("</tbody>\n</table></div>\n", out);
}

static void write_legend(const struct report *report, FILE *out)
{
	fputs("<h2>The words</h2>\n<dl>\n"
	      "<dt>exact</dt><dd>converts the pages asked for, cut at grain boundaries</dd>\n"
	      "<dt>widen</dt><dd>converts the whole grain; on the way back a grain returns only "
	      "when nobody asks for a page of it any longer</dd>\n"
	      "<dt>refuse</dt><dd>converts only the grains that a request fills</dd>\n"
	      "<dt>folio</dt><dd>the grain &ldquo;whatever size has been allocated&rdquo;: the "
	      "block of host memory under the page</dd>\n",
	      out);
	for (size_t i = 0; i < counted_field_count; i++) {
		fprintf(out, "<dt>%s</dt><dd>%s</dd>\n", counted_fields[i].label,
			counted_fields[i].meaning);
	}
	fputs("</dl>\n<h2>Where the figures come from</h2>\n<dl>\n"
	      "<dt>counted</dt><dd>exact, and the same on every run with the same seed: all "
	      "columns but those named below</dd>\n"
	      "<dt>modelled</dt><dd>the leaf columns, computed from what was counted by the model "
	      "&ldquo;",
	      out);
	write_escaped(report->leaf_model, out);
	fprintf(out,
		"&rdquo;</dd>\n<dt>timed</dt><dd>the times and KVM&rsquo;s own count of exits, "
		"which host interrupts change%s</dd>\n</dl>\n",
		report->board[0] != '\0' ? "; on this emulated board they say nothing about "
					   "hardware"
					 : "");
}

static int write_page(const struct groups *groups, FILE *out)
{
	fprintf(out, page_head, page_title);
	write_question(out);
	write_ran(groups->report, out);
	if (!write_reading(groups, out)) {
		log_error("out of memory");
		return EXIT_CODE_OS;
	}
	for (enum chart chart = CHART_HYPERCALLS; chart < CHART_COUNT; chart++) {
		int result = write_figure(groups, chart, out);

		if (result != EXIT_CODE_OK) {
			return result;
		}
	}
	write_table(groups->report, out);
	write_legend(groups->report, out);
	fputs("</body>\n</html>\n", out);
	return EXIT_CODE_OK;
}

int report_write_html(const struct report *report, const char *path)
{
	struct groups groups;
	char *text = NULL;
	size_t length = 0;
	FILE *out;
	int result = groups_init(&groups, report);

	if (result != EXIT_CODE_OK) {
		return result;
	}
	out = open_memstream(&text, &length);
	result = out == NULL ? EXIT_CODE_OS : write_page(&groups, out);
	if (out == NULL || fclose(out) != 0) {
		log_error("out of memory");
		result = EXIT_CODE_OS;
	}
	groups_free(&groups);
	if (result == EXIT_CODE_OK) {
		result = output_write(path, text, length);
	}
	free(text);
	return result;
}
