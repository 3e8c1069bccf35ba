# docs/models.md numbers the originals' needless work; toggles.def refers to the numbers. Both name the same toggle for each.
. "${HM_SOURCE:?run by ctest, which sets it}/tests/script.sh" || exit 1

# "H4 kv" per reference in toggles.def: rows joined to one line, numbers taken from the texts.
tr '\n' ' ' <"$HM_SOURCE/variants/toggles.def" | sed 's/HM_TOGGLE(/\n&/g' | grep '^HM_TOGGLE([a-z]' | while IFS= read -r row; do
    field=${row#HM_TOGGLE(}
    printf '%s\n' "$row" | grep -oE '\b[HCQ][0-9]+\b' | sed "s/\$/ ${field%%,*}/"
done | sort -u >"$scratch/table"
# The same of the page: its last column.
sed -n 's/^| \([HCQ][0-9]*\) |.* | \([a-z_, ]*\) |$/\1 \2/p' "$HM_SOURCE/docs/models.md" | tr -d , | while read -r number toggles; do
    for toggle in $toggles; do
        [ "$toggle" = none ] || echo "$number $toggle"
    done
done | sort -u >"$scratch/page"

the_table_refers_to_many_items() { [ "$(wc -l <"$scratch/table")" -ge 25 ] || fail "$(cat "$scratch/table")"; }

table_and_page_name_the_same_toggles() {
    diff "$scratch/table" "$scratch/page" >"$scratch/diff" || fail "$(cat "$scratch/diff")"
}

the_page_numbers_every_item() {
    local numbers
    numbers=$(grep -cE '^\| [HCQ][0-9]+ \|' "$HM_SOURCE/docs/models.md")
    expect "items of docs/models.md" 78 "$numbers"
}

check the_table_refers_to_many_items
check table_and_page_name_the_same_toggles
check the_page_numbers_every_item
finish
