"""Draws text as a terminal window, for the README: bin/scorer inspect demo-out/scores | python3 docs/picture.py > docs/report.svg"""
import html, sys

lines = [l.rstrip("\n") for l in sys.stdin][:60]
width, height = 8.4 * max(map(len, lines)) + 40, 18 * len(lines) + 40
print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" role="img" aria-label="conflict report">')
print('<rect width="100%" height="100%" rx="8" fill="#16181d"/>')
print('<g font-family="ui-monospace,Menlo,Consolas,monospace" font-size="14" fill="#d6deeb">')
for i, line in enumerate(lines):
    print(f'<text x="20" y="{34 + 18 * i}" xml:space="preserve">{html.escape(line)}</text>')
print("</g></svg>")
