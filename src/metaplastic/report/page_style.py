"""The style sheet of the page: in the file itself, light and dark, from 400 pixels on."""

from metaplastic.report.svg import DARK_INK, DARK_PAGE

_LIGHT = "--page:#ffffff;--ink:#1d1f23;--soft:#5c6068;--line:#dcdee2;--tint:#f5f6f8;--link:#0059a6;--warn:#8a4b00;"
_DARK = (
    f"--page:{DARK_PAGE};--ink:{DARK_INK};--soft:#a6a8ad;--line:#34373d;--tint:#1d2025;--link:#7fbcf5;--warn:#f0b35a;"
)

_RULES = """
*{box-sizing:border-box}
html{color-scheme:light dark;scroll-behavior:smooth}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;overflow-wrap:break-word}
header,main,footer{max-width:1180px;margin:0 auto;padding:0 24px}
header{padding-top:40px}
h1{font-size:2rem;line-height:1.2;margin:0 0 .5rem;letter-spacing:-.01em}
h2{font-size:1.4rem;line-height:1.3;margin:.1rem 0 .75rem}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
p{margin:0 0 .75rem;max-width:75ch}
a{color:var(--link)}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
code{font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
.skip{position:absolute;left:-999px}
.skip:focus{left:8px;top:8px;background:var(--page);padding:8px;z-index:1}
.lead,.soft{color:var(--soft)}
.contents{list-style:none;margin:1rem 0 0;padding:0;display:flex;flex-wrap:wrap;gap:8px}
.contents a{display:block;padding:6px 12px;border:1px solid var(--line);border-radius:6px;text-decoration:none}
.contents a:hover{background:var(--tint)}
section{padding:40px 0 8px;border-bottom:1px solid var(--line)}
section:last-child{border:0}
.kicker{font:600 .82rem ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;color:var(--soft);margin:0}
.claim{border-left:3px solid var(--link);padding-left:14px}
.caution{border-left:3px solid var(--warn);padding-left:14px;margin:0 0 1rem}
.caution b{color:var(--warn)}
.caution ul{margin:.2rem 0 0;padding-left:1.1rem}
.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(140px,1fr));gap:10px 24px;margin:0 0 1.1rem;
padding:14px 16px;background:var(--tint);border-radius:8px}
.facts div{min-width:0}
.facts .full{grid-column:1/-1}
.facts dt{font-size:.8rem;color:var(--soft)}
.facts dd{margin:0;font-size:.95rem}
.more{margin:-.4rem 0 1.1rem}
.command span{white-space:nowrap}
.absent{list-style:none;padding:0;margin:0 0 1rem;max-width:85ch}
.absent li{padding:8px 0;border-bottom:1px solid var(--line)}
.absent code{display:block;color:var(--soft)}
figure{margin:1.6rem 0 2.2rem}
figure svg{display:block;max-width:100%;height:auto}
figcaption{margin-top:.6rem;font-size:.9rem;color:var(--soft)}
figcaption p{margin:0 0 .25rem}
.narrow{display:none}
summary{cursor:pointer;color:var(--link);margin:.3rem 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:5px 14px 5px 0;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th{font-weight:600}
thead th{color:var(--soft);font-weight:500;white-space:nowrap;vertical-align:bottom}
tbody th{white-space:nowrap;position:sticky;left:0;background:var(--page)}
.n{text-align:right;white-space:nowrap}
td.words{min-width:14ch;max-width:44ch}
footer{padding:24px;font-size:.9rem;color:var(--soft)}
@media (max-width:760px){
header,main,footer{padding-left:15px;padding-right:15px}
header{padding-top:24px}
h1{font-size:1.55rem}
h2{font-size:1.22rem}
.wide{display:none}
.narrow{display:block}
tbody th{white-space:normal;min-width:9ch;max-width:16ch}
}
@media print{section{break-inside:avoid-page}.contents,.skip{display:none}}
"""


def style_sheet(light: str, dark: str) -> str:
    """Write the style sheet.

    Args:
        light: Declarations of the pictures' colours.
        dark: The same for a page in the dark.

    Returns:
        CSS that names no file.
    """
    return (
        f":root{{{_LIGHT}{light}}}"
        f"@media (prefers-color-scheme:dark){{:root{{{_DARK}{dark}}}}}"
        f"@media print{{:root{{{_LIGHT}{light}}}}}{_RULES}"
    )
