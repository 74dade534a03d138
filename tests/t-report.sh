#!/bin/sh
# busi-report: a page that is whole, safe, and says what busi-eval says.
. "$(dirname "$0")/lib.sh"
common_checks busi-report

busi-phantom -q -o scans --benign 12 --malignant 9 --normal 9
busi-strip -q scans | busi-dup -q | busi-split -q -k 3 -o folds.tsv
busi-prep -q --resize 40x40 --crop 40 -o data.st folds.tsv
cat >net.model <<'EOF'
input x channels=@channels size=@size
conv c x out=8 kernel=3 stride=2 pad=1
bn b c
relu r b
avgpool p r size=1
linear fc p out=@classes
EOF
set --
for i in 0 1 2; do
    busi-train -q -d data.st -f folds.tsv --fold $i -m ./net.model --size 32 \
        -e 3 -b 8 --device ref --log log-$i.tsv -o fold-$i.st
    busi-predict -q -m fold-$i.st -d data.st -f folds.tsv --fold $i \
        --device ref -o pred-$i.tsv
    busi-predict -q -m fold-$i.st -d data.st -f folds.tsv --device ref \
        --fold $(((i + 1) % 3)) --allow-train-rows -o val-$i.tsv
    set -- "$@" --log log-$i.tsv --model fold-$i.st --validation val-$i.tsv
done
busi-predict -q -m fold-0.st --device ref --allow-train-rows --cam maps \
    -o /dev/null scans
busi-eval -q -l folds.tsv -o metrics.tsv pred-?.tsv

runs 0 busi-report "$@" --plain metrics.tsv --cam maps -l folds.tsv \
    -o page.html pred-0.tsv pred-1.tsv pred-2.tsv
if command -v gnuplot >/dev/null; then
    is "silence" "" "$(cat out err)"
    is "diagrams" 6 "$(grep -o 'data:image/svg+xml;base64,' page.html |
        wc -l | tr -d ' ')"
else
    skip "gnuplot is not installed: diagrams"
    says "no diagrams"
fi
for what in Scans Training Results Discrimination Calibration \
    "Operating points" "Decision curve" "Shortcuts and leaks" \
    "Worst mistakes" "Model card" Checklists Provenance; do
    grep -q "<h2>$what</h2>" page.html || bad "no section '$what'"
done
grep -q 'Not given' page.html && bad "something is called not given"
grep -q 'data:image/png' page.html || bad "no pictures of mistakes"
value() {
    awk -F'\t' -v m="$1" -v c="$2" '$1 == m && $2 == c && $NF == "pooled" {
        printf "%.3f (%.3f to %.3f)", $3, $4, $5 }' metrics.tsv
}
for m in "accuracy all" "auroc malignant" "auprc macro" "sensitivity benign" \
    "brier all"; do
    # shellcheck disable=SC2086     # two words
    grep -Fq "$(value $m)" page.html || bad "$m is not $(value $m)"
done
# The bins on the page are those of the calibration error: their mean gap is it.
sed -n '/>The bins</,/<\/table>/p' page.html | sed 's/<[^>]*>/ /g' | awk '
    $2 == "to" { n += $4; gap += $4 * ($5 > $6 ? $5 - $6 : $6 - $5) }
    END { printf "%.4f\n", gap / n }' >gap
awk -F'\t' -v gap="$(cat gap)" '$1 == "ece" && $NF == "pooled" {
    exit !(gap - $3 < 0.001 && $3 - gap < 0.001) }' metrics.tsv ||
    bad "the bins have an error of $(cat gap): $(grep ^ece metrics.tsv)"
for f in pred-0.tsv log-1.tsv folds.tsv fold-2.st val-0.tsv metrics.tsv; do
    grep -q "$(sha256sum <$f | cut -d' ' -f1)" page.html ||
        bad "the digest of $f is missing"
done
grep -Eq '<script|https?:|src="[^d]|@import|url\(' page.html &&
    bad "the page reaches outside or runs something"
runs 0 busi-report "$@" --plain metrics.tsv --cam maps -l folds.tsv \
    -o page.html pred-0.tsv pred-1.tsv pred-2.tsv
cp page.html again.html
runs 0 busi-report "$@" --plain metrics.tsv --cam maps -l folds.tsv \
    -o page.html pred-0.tsv pred-1.tsv pred-2.tsv
cmp -s page.html again.html || bad "the same page has other bytes"
runs 0 busi-report "$@" --plain metrics.tsv --cam maps -l folds.tsv -v \
    --output=other.html pred-0.tsv pred-1.tsv pred-2.tsv
cmp -s page.html other.html || bad "a page of another name has other bytes"

# Well-formed: every element that opens closes, in order.
if command -v python3 >/dev/null; then
    python3 - <<'EOF' || bad "the page is not well-formed"
import html.parser
class P(html.parser.HTMLParser):
    open = []
    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag
p = P()
p.feed(open("page.html", encoding="utf-8").read())
assert not p.open, p.open
EOF
else
    skip "python3 is not installed: well-formedness"
fi

# A log or a picture that cannot be read is left out, and that is said.
mv scans moved
runs 1 busi-report "$@" --log pred-0.tsv -l folds.tsv \
    -o less.html pred-0.tsv
mv moved scans
is "what is left out is listed" "$(grep -c '	' err)" \
    "$(grep -c 'Left out' less.html)"
says "^scans/.*	unreadable	cannot .*scans/.*: No such file"
says "^pred-0.tsv	invalid	'pred-0.tsv' is not a training log"

sed '3s/^[0-9]*/x/' log-0.tsv >words.tsv
runs 1 busi-report -q --bootstrap 0 --log words.tsv --rejects not.tsv \
    -o less.html pred-0.tsv
is "a list of its own" "words.tsv	invalid 0" \
    "$(cut -f 1,2 not.tsv) $(wc -c <err)"
grep -q "words.tsv&#39; line 3: epoch &#39;x&#39; is not a number" less.html ||
    bad "a log with a word for an epoch: $(grep 'Left out' less.html)"

# Predictions alone; what is missing is said.
runs 0 busi-report -q --bootstrap 0 -o bare.html pred-0.tsv
is "what is not given is named" "--cam --log --model --plain --validation -l" \
    "$(grep -o 'Not given: -*[a-z]*' bare.html | cut -d' ' -f3 | sort -u | xargs)"
runs 0 busi-report -q --bootstrap 0 pred-0.tsv
cmp -s out bare.html || bad "the page on stdout has other bytes"
grep -q '>busi-report --bootstrap=0 pred-0.tsv<' bare.html ||
    bad "the settings are not in the page"

# Whatever stands in a table stays text.
awk -F'\t' -v OFS='\t' 'NR == 1 { sub("p_normal", "p_<script>alert(1)</script>") }
    NR > 1 { $1 = $1 "\"><img src=x onerror=alert(1)>&amp;\377"
        if ($2 == "normal") $2 = "<script>alert(1)</script>"
        if ($4 == "normal") $4 = "<script>alert(1)</script>" } 1' pred-0.tsv \
    >hostile.tsv
runs 0 busi-report -q --title '</title><script>' -o hostile.html hostile.tsv
grep -Eq '<script|<img src=x|</title><script' hostile.html &&
    bad "text of a table became markup"
grep -q '&lt;script&gt;alert(1)&lt;/script&gt;' hostile.html ||
    bad "a class is not shown as it is called"
LC_ALL=C grep -q "$(printf '\377')" hostile.html && bad "bytes that are no UTF-8"

# What has no points is not drawn: a class that no test scan has, a log of one
# epoch, nothing scored at all.
grep -v '^[^	]*	normal' pred-0.tsv >two.tsv
head -n 2 log-0.tsv >epoch.tsv
runs 0 busi-report -q --bootstrap 0 --log epoch.tsv -o two.html two.tsv
is "gnuplot is silent" "" "$(cat err)"
awk -F'\t' -v OFS='\t' 'NR > 1 { $3 = "decode" } 1' pred-0.tsv >rejected.tsv
runs 0 busi-report -q --bootstrap 0 -o rejected.html rejected.tsv
is "gnuplot is silent" "" "$(cat err)"
is "diagrams that say why there is none" 4 \
    "$(grep -c 'No diagram: there are no numbers' rejected.html)"
mkdir stub
printf '#!/bin/sh\necho >&2\necho "  line 7: no ink" >&2\nexit 1\n' >stub/gnuplot
chmod +x stub/gnuplot
runs 4 env PATH="$scratch/stub:$PATH" busi-report -q -o none.html pred-0.tsv
is "why gnuplot failed" "busi-report: gnuplot failed: line 7: no ink" "$(cat err)"

# A table that does not say its fold has its numbers all the same.
awk -F'\t' -v OFS='\t' '{ $8 = NR == 1 ? "was" : $8 } 1' pred-0.tsv >unnamed.tsv
runs 0 busi-report -q --bootstrap 0 -o mixed.html unnamed.tsv pred-1.tsv
grep -Eo '<t[dh][^>]*>#0</t[dh]><td[^>]*>[0-9]+' mixed.html >rows
is "a row of that table" 1 "$(wc -l <rows | tr -d ' ')"

# Any one table may come through a pipe; a model may not.
for o in "-l - pred-0.tsv <folds.tsv" "--log - pred-0.tsv <log-0.tsv" \
    "--plain - pred-0.tsv <metrics.tsv" "- <pred-0.tsv" \
    "--validation - pred-0.tsv <val-0.tsv"; do
    runs 0 sh -c "busi-report -q --bootstrap 0 -o piped.html $o"
    grep -Eq "standard input</td><td[^>]*>$(sha256sum <"${o#*<}" | cut -d' ' -f1)" \
        piped.html || bad "$o: no digest of standard input"
done
runs 3 sh -c "busi-report -q --model - -o none.html pred-0.tsv <folds.tsv"
says "'-' is not a model"
runs 2 sh -c "busi-predict -m - -d data.st <fold-0.st"
says "models and datasets do not come through a pipe; name a file"

# A model that did not make the predictions: no operating points.
runs 0 busi-report -q --validation val-1.tsv -o other.html pred-0.tsv
grep -q 'not of the same models' other.html || bad "thresholds of another model"
runs 2 busi-report -o none.html
runs 2 busi-report --positive cyst -o none.html pred-0.tsv
says "no class 'cyst'"
runs 3 busi-report -o none.html folds.tsv
runs 4 busi-report -o none.html gone.tsv
runs 4 busi-report -q -o /dev/full pred-0.tsv
[ ! -e none.html ] || bad "an error leaves a page"

# ------------------------------------- what a page must not claim
busi-train -q -d data.st --fold all -m ./net.model --size 32 -e 1 -b 8 \
    --device ref -o foreign.st
runs 3 busi-report -q --bootstrap 0 --model foreign.st -o none.html pred-?.tsv
says "'foreign.st' made none of the predictions"
busi-split -q -k 3 --seed 7 -o seven.tsv folds.tsv
runs 3 busi-report -q --bootstrap 0 -l seven.tsv -o none.html pred-?.tsv
says "'seven.tsv' has '.*' in fold ., and 'pred-..tsv' in fold"
busi-eval -q --compare pred-0.tsv pred-0.tsv >compared.tsv
runs 3 busi-report -q --bootstrap 0 --plain compared.tsv -o none.html pred-?.tsv
says "'compared.tsv' has no pooled accuracy"
[ ! -e none.html ] || bad "a page of what does not belong together"
runs 1 busi-report --bootstrap 0 -l folds.tsv --cam nowhere -o maps.html \
    pred-?.tsv
says "^nowhere	unreadable	'nowhere' has a heat map of none of these scans"
grep -q 'Worst mistakes: heat maps' maps.html && bad "maps that are not there"
runs 0 busi-report -q --bootstrap 0 -o seen.html val-0.tsv
grep -q 'no test results' seen.html || bad "scans of training are not told of"
at=$(head -n 1 folds.tsv | tr '\t' '\n' | grep -n '^group$' | cut -d: -f 1)
awk -F'\t' -v OFS='\t' -v g="$at" 'NR > 1 { $g = "g" NR % 2 } 1' folds.tsv >cut.tsv
cut -f 1-4,5-8 pred-0.tsv >plain-0.tsv
runs 0 busi-report --bootstrap 0 -l cut.tsv -o cut.html plain-0.tsv
says "groups of near-copies cross the folds"
mkdir home
echo 'set output "stolen.svg"' >home/.gnuplot
runs 0 env HOME="$PWD/home" busi-report -q --bootstrap 20 -o one.html pred-0.tsv
[ ! -e stolen.svg ] || bad "gnuplot ran what a user's file says"
busi-report -q --bootstrap 20 -o one.html pred-0.tsv
grep -q 'fold mean\|all folds\|over the folds' one.html &&
    bad "one table is several folds: $(grep -o '.\{40\}fold mean' one.html)"
grep -Eq '<td>accuracy</td><td>all</td><td class="n">[^<]*</td></tr>' one.html ||
    bad "accuracy of one table: $(grep -o '<td>accuracy.*' one.html | head -n 1)"
grep -Eq '<td>accuracy</td><td>all</td>(<td class="n">[^<]*</td>){3}</tr>' \
    again.html || bad "accuracy has no mean over folds"
# ------------------------------------- the checklists name what is on the page
# filled PAGE WHETHER ITEM...: does it fill in these?
filled() {
    page=$1 whether=$2
    shift 2
    for item in "$@"; do
        case $(sed -n "s,.*<td>$item</td><td[^>]*>\\([^<]*\\).*,\\1,p" "$page") in
        '') bad "$page has no item '$item'" ;;
        'for the author') [ $whether = no ] || bad "$page leaves '$item'" ;;
        *) [ $whether = yes ] || bad "$page fills '$item'" ;;
        esac
    done
}
set -- "Assignment to partitions" "Level at which partitions are disjoint" \
    "Training versus evaluation data" "Model development" "Class imbalance" \
    "Performance on all partitions" "Model output" \
    "Significance and uncertainty" "Estimates and their precision"
filled again.html yes "$@"
filled bare.html no "$@"
sed '1s/\tfold\b/\twas/' folds.tsv >unfolded.tsv
grep -q 'no interval without bootstrap' bare.html ||
    bad "intervals that are not there: $(grep Wilson bare.html)"
grep -q 'Not given: --log' less.html && bad "a log that was left out is not given"
filled less.html no "Performance on all partitions"
busi-report -q --bootstrap 0 -l unfolded.tsv -o unfolded.html pred-?.tsv
filled unfolded.html no "Assignment to partitions" "Model development" \
    "Level at which partitions are disjoint"
filled unfolded.html yes "Class imbalance"

# ------------------------------------- what is said of folds is true of them
grep -q 'scans of one collection' again.html || bad "folds are of one collection"
busi-predict -q -m fold-0.st --device ref --rejects /dev/null \
    scans/benign >new.tsv
awk -F'\t' -v OFS='\t' 'NR > 1 { $2 = "benign" } 1' new.tsv >labelled.tsv
runs 0 busi-report -q --bootstrap 0 -o new.html labelled.tsv
grep -q 'scans of one collection' new.html && bad "new scans are of another one"
sed -e '1s/$/\tselect/' -e '2,$s/$/\ttest/' labelled.tsv >chosen.tsv
runs 0 busi-report -q --bootstrap 0 -o chosen.html chosen.tsv
grep -q 'own test fold: results on that fold flatter it' chosen.html ||
    bad "an epoch that was chosen on a test fold: $(grep -o 'The epoch.*' chosen.html)"
svgs() {
    grep -o 'image/svg+xml;base64,[^"]*' "$1" | cut -d, -f 2 | while read -r b; do
        echo "$b" | base64 -d
    done
}
if command -v gnuplot >/dev/null; then
    svgs again.html >drawn
    has drawn '>validation<'
    grep -q 'choosing epochs' drawn && bad "an epoch that no fold has chosen"
fi

# ------------------------------------- what is drawn can be read
grep -q 'Beside a scan is its heat map' again.html || bad "no word on heat maps"
grep -q 'Beside a scan is its heat map' maps.html && bad "of no heat map a word"
grep -q '<caption' again.html && bad "a caption scrolls with its table"
grep -q '<p class="caption">Confusion matrix' again.html || bad "no captions"
grep -q '<details>' again.html && bad "what is folded up is not on paper"
is "cards that can be folded up, and the checklists" 4 \
    "$(grep -o '<details open>' again.html | wc -l)"
grep -q '@media(max-width:40rem){[^@]*td.n,th.n{white-space:normal}' again.html ||
    bad "numbers are cut on a phone"
awk 'BEGIN {
    OFS = "\t"
    $1 = "id"; $2 = "label"; $3 = "pred"
    for (c = 0; c < 7; c++) $(4 + c) = "p_BI-RADS " c
    print
    for (i = 0; i < 49; i++) {
        $1 = "s" i; $2 = "BI-RADS " i % 7; $3 = "BI-RADS " (i * i) % 7
        for (c = 0; c < 7; c++) $(4 + c) = c == (i * i) % 7 ? 0.4 : 0.1
        print
    }
}' </dev/null >seven.tsv
runs 0 busi-report -q --bootstrap 0 -o seven.html seven.tsv
if command -v gnuplot >/dev/null; then
    svgs seven.html | awk '/<\/svg>/ { exit } 1' >roc
    is "seven curves and what to compare with" 8 \
        "$(grep -o "<path stroke='[^']*' \(stroke-dasharray='[^']*'\)\?" roc |
            grep -v '221\|102' | sort -u | wc -l)"
    is "names of classes are above the curves" 7 "$(awk -F'[(,)]' '
        /gridline/ && match($0, /M[0-9.]+,[0-9.]+/) {
            split(substr($0, RSTART, RLENGTH), m, ",")
            if (!top || m[2] + 0 < top) top = m[2] + 0 }
        /<g transform="translate/ { y = $3 }
        />BI-RADS/ { name[++n] = y }
        END { for (i = 1; i <= n; i++) above += name[i] < top; print above + 0 }
        ' roc)"
fi

# ------------------------------------- thresholds
# points WHETHER OPTION...: does the page of fold 0 have operating points?
points() {
    whether=$1
    shift
    runs 0 busi-report -q --bootstrap 0 -o points.html "$@"
    is "operating points: $*" "$whether" \
        "$(grep -o 'specificity wanted\|known by -l\|or not of the folds that these' \
            points.html)"
    case $whether in spec*) filled points.html yes "Model output" ;;
    *) filled points.html no "Model output" ;; esac
}
refused='or not of the folds that these'
points "specificity wanted" -l folds.tsv --validation val-0.tsv pred-0.tsv
points "known by -l" --validation val-0.tsv pred-0.tsv
points "known by -l" -l unfolded.tsv --validation val-0.tsv pred-0.tsv
busi-predict -q -m fold-0.st -d data.st -f folds.tsv --fold 2 --device ref \
    --allow-train-rows -o train-0.tsv
points "$refused" -l folds.tsv --validation train-0.tsv pred-0.tsv
awk -F'\t' -v OFS='\t' 'NR > 1 { $8 = 1 } 1' pred-0.tsv >own.tsv
points "$refused" -l folds.tsv --validation own.tsv pred-0.tsv
for fold in "-f folds.tsv --fold 0 --select none" "-f folds.tsv --fold 0" \
    "--fold all"; do
    # shellcheck disable=SC2086
    busi-train -q -d data.st $fold -m ./net.model --size 32 -e 1 -b 8 --seed 2 \
        --device ref -o other.st
    for f in 0 1; do
        busi-predict -q -m other.st -d data.st -f folds.tsv --fold $f \
            --device ref --allow-train-rows -o other-$f.tsv
    done
    case $fold in *0) whether="specificity wanted" ;; *) whether=$refused ;; esac
    points "$whether" -l folds.tsv --model other.st --validation other-1.tsv \
        other-0.tsv
done
