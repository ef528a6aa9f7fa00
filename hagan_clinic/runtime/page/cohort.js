// The table of results and the verdicts on them, which this browser keeps until they are saved.
const shelf = (subject) => `hagan-clinic verdict ${subject.key}`;
const inMemory = {}; // where a browser keeps nothing for a file

function verdictOf(subject) {
  try {
    return JSON.parse(localStorage.getItem(shelf(subject))) ?? { verdict: "", note: "" };
  } catch {
    return inMemory[subject.key] ?? { verdict: "", note: "" };
  }
}

function keep(subject, changed) {
  const value = { ...verdictOf(subject), ...changed };
  try {
    localStorage.setItem(shelf(subject), JSON.stringify(value));
    find("#kept").textContent = "kept in this browser";
  } catch {
    inMemory[subject.key] = value;
    find("#kept").textContent = "not kept when the page is closed: save the CSV";
  }
  fill();
}

function judge(verdict) {
  keep(view.subject, { verdict });
  subjectShown();
}

const figures = [...new Set(subjects.flatMap((subject) => Object.keys(subject.figures)))];
const COLUMNS = [
  ["result", (subject) => subject.name],
  ...(subjects.some((subject) => subject.problem) ? [["failed because", (subject) => subject.problem ?? ""]] : []),
  ["warnings", (subject) => (subject.problem ? null : subject.warnings.length)],
  ...figures.map((name) => [name, (subject) => subject.figures[name] ?? null]),
  ["verdict", (subject) => verdictOf(subject).verdict],
  ["note", (subject) => verdictOf(subject).note],
];
let order = subjects.map((_, number) => number); // as written: the worst first
let sorted = { name: "", down: false };

function sortBy(name, valueOf) {
  const worstIsLow = /^(result|PSNR|SSIM)/.test(name);
  sorted = { name, down: sorted.name === name ? !sorted.down : !worstIsLow };
  const sign = sorted.down ? -1 : 1;
  order.sort((a, b) => {
    const [one, other] = [valueOf(subjects[a]), valueOf(subjects[b])];
    return sign * (typeof one === "string" ? one.localeCompare(other) : one - other);
  });
  fill();
}

function fill() {
  find("#cohort thead tr").replaceChildren(element("th"), ...COLUMNS.map(([name, valueOf]) => {
    const heading = element("th", {}, element("button", { textContent: name, onclick: () => sortBy(name, valueOf) }));
    if (sorted.name === name) heading.ariaSort = sorted.down ? "descending" : "ascending";
    return heading;
  }));
  find("#cohort tbody").replaceChildren(...order.map((number) => {
    const subject = subjects[number];
    const picture = subject.thumbnail ? [element("img", { src: subject.thumbnail, alt: "", height: 48 })] : [];
    const row = element("tr", { onclick: () => show(number) }, element("td", {}, ...picture));
    for (const [name, valueOf] of COLUMNS) {
      const value = valueOf(subject);
      const cell = element("td", { className: typeof value === "number" ? "number" : "" });
      if (name === "result") cell.append(element("button", { textContent: value }));
      else cell.textContent = value ?? "";
      row.append(cell);
    }
    row.title = subject.warnings.join("\n");
    row.ariaCurrent = number === view.number;
    return row;
  }));
}

function subjectShown() {
  const { verdict, note } = verdictOf(view.subject);
  find(`input[name=verdict][value="${verdict}"]`).checked = true;
  find("#note").value = note;
  fill();
}

function step(by) {
  const next = order[order.indexOf(view.number) + by];
  if (next !== undefined) show(next);
}

// A spreadsheet takes a text that begins with one of =+-@ for a formula.
function field(value) {
  const text = String(value ?? "");
  return `"${(typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? "'" : "") + text.replaceAll('"', '""')}"`;
}

function csv() {
  const rows = order.map((number) => [...COLUMNS.map(([, valueOf]) => valueOf(subjects[number])), subjects[number].key]);
  return [[...COLUMNS.map(([name]) => name), "key"], ...rows].map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}

find("#save").onclick = () => {
  const href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  element("a", { href, download: "verdicts.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
};
document.querySelectorAll("input[name=verdict]").forEach((input) => { input.onchange = () => judge(input.value); });
find("#note").oninput = () => keep(view.subject, { note: find("#note").value });
document.querySelector("#verdict").addEventListener("keydown", (event) => { if (event.key === "Escape") event.target.blur(); });

fill();
show(order.find((number) => subjects[number].pictures.length) ?? order[0]);
