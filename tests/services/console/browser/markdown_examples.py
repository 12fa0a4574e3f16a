"""Markdown texts with the HTML that they become, and hostile texts."""

# (Markdown, HTML without the attributes that every element of its kind has)
EXAMPLES = [
    ("plain", "<p>plain</p>"),
    ("two\nlines", "<p>two\nlines</p>"),
    ("hard  \nbreak", "<p>hard<br>break</p>"),
    ("hard\\\nbreak", "<p>hard<br>break</p>"),
    ("a\n\nb", "<p>a</p><p>b</p>"),
    ("# one", "<h2>one</h2>"),
    ("### three ###", "<h4>three</h4>"),
    ("####### seven", "<p>####### seven</p>"),
    ("#hashtag", "<p>#hashtag</p>"),
    ("##", "<h3></h3>"),
    ("Title\n=====", "<h2>Title</h2>"),
    ("Title\n---", "<h3>Title</h3>"),
    ("---", "<hr>"),
    ("* * *", "<hr>"),
    ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
    ("- a\n\n- b", "<ul><li><p>a</p></li><li><p>b</p></li></ul>"),
    ("- a\n\n\n  b", "<ul><li><p>a</p><p>b</p></li></ul>"),
    ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
    ("1) a\n2. b", "<ol><li>a</li></ol>" + '<ol start="2"><li>b</li></ol>'),
    ("- a\n  - b\n    - c", "<ul><li>a<ul><li>b<ul><li>c</li></ul></li></ul></li></ul>"),
    ("- a\n\tb", "<ul><li>a\nb</li></ul>"),
    ("- a\nlazy", "<ul><li>a\nlazy</li></ul>"),
    ("-\n\n  a", "<ul><li></li></ul><p>a</p>"),
    ("- - a", "<ul><li><ul><li>a</li></ul></li></ul>"),
    ("text\n2. no list", "<p>text\n2. no list</p>"),
    ("text\n1. list", "<p>text</p><ol><li>list</li></ol>"),
    ("> a\n2. b", '<blockquote><p>a</p></blockquote><ol start="2"><li>b</li></ol>'),
    ("- a\n+ b", "<ul><li>a</li></ul><ul><li>b</li></ul>"),
    (
        "- [x] a\n- [ ] b",
        (
            '<ul><li class="task"><input type="checkbox"><div>a</div></li>'
            '<li class="task"><input type="checkbox"><div>b</div></li></ul>'
        ),
    ),
    ("> a\n> b", "<blockquote><p>a\nb</p></blockquote>"),
    ("> a\nlazy", "<blockquote><p>a\nlazy</p></blockquote>"),
    ("> a\n\nb", "<blockquote><p>a</p></blockquote><p>b</p>"),
    ("> - a\n> - b", "<blockquote><ul><li>a</li><li>b</li></ul></blockquote>"),
    ("> # a", "<blockquote><h2>a</h2></blockquote>"),
    ("    code\n      more", "<pre>code\n  more</pre>"),
    ("```\ncode\n\n*no*\n```", "<pre>code\n\n*no*</pre>"),
    ("~~~ js\n```\n~~~", "<pre>```</pre>"),
    ("````\n```\n````", "<pre>```</pre>"),
    ("- ```\n  x\n  ```", "<ul><li><pre>x</pre></li></ul>"),
    ("```\nopen", "<pre>open</pre>"),
    ("*a* _b_ **c** __d__", "<p><em>a</em> <em>b</em> <strong>c</strong> <strong>d</strong></p>"),
    ("***a***", "<p><em><strong>a</strong></em></p>"),
    ("**a *b* c**", "<p><strong>a <em>b</em> c</strong></p>"),
    ("*a **b** c*", "<p><em>a <strong>b</strong> c</em></p>"),
    ("*a **b*", "<p>*a *<em>b</em></p>"),
    ("snake_case_name", "<p>snake_case_name</p>"),
    ("2 * 3 * 4", "<p>2 * 3 * 4</p>"),
    ("** a**", "<p>** a**</p>"),
    ("*(*a*)*", "<p><em>(<em>a</em>)</em></p>"),
    ("foo*bar*baz", "<p>foo<em>bar</em>baz</p>"),
    ("*foo**bar**baz*", "<p><em>foo<strong>bar</strong>baz</em></p>"),
    ("~~a~~ ~b~", "<p><del>a</del> <del>b</del></p>"),
    ("`a` ``b`c``", "<p><code>a</code> <code>b`c</code></p>"),
    ("`` ` ``", "<p><code>`</code></p>"),
    ("`a\nb`", "<p><code>a b</code></p>"),
    ("`*a*`", "<p><code>*a*</code></p>"),
    ("*a`*`", "<p>*a<code>*</code></p>"),
    ("`open", "<p>`open</p>"),
    (r"\*a\* \\ \a", "<p>*a* \\ \\a</p>"),
    ("&amp; &lt; &#65; &#x42; &nope;", "<p>&amp; &lt; A B &amp;nope;</p>"),
    ("[a](https://x.org)", '<p><a href="https://x.org">a</a></p>'),
    ('[a](https://x.org "t")', '<p><a href="https://x.org">a</a></p>'),
    ("[a](<https://x.org/b>)", '<p><a href="https://x.org/b">a</a></p>'),
    ("[a](https://x.org/(b))", '<p><a href="https://x.org/(b)">a</a></p>'),
    ("[*a*](mailto:a@b.org)", '<p><a href="mailto:a@b.org"><em>a</em></a></p>'),
    (
        "[a [b](https://x.org)](https://y.org)",
        '<p>[a <a href="https://x.org">b</a>](<a href="https://y.org">https://y.org</a>)</p>',
    ),
    ("[a](relative)", "<p>a</p>"),
    ("[a]", "<p>[a]</p>"),
    ("![a](https://x.org/a.png)", '<p><a href="https://x.org/a.png">a</a></p>'),
    ("<https://x.org>", '<p><a href="https://x.org">https://x.org</a></p>'),
    ("<a@b.org>", '<p><a href="mailto:a@b.org">a@b.org</a></p>'),
    (
        "see https://x.org/a_b_c.",
        '<p>see <a href="https://x.org/a_b_c">https://x.org/a_b_c</a>.</p>',
    ),
    ("(https://x.org/(a))", '<p>(<a href="https://x.org/(a)">https://x.org/(a)</a>)</p>'),
    ("www.x.org", '<p><a href="https://www.x.org">www.x.org</a></p>'),
    ("a [1] b", "<p>a [1] b</p>"),
    ("[1, 2]", "<p>[1, 2]</p>"),
    (
        "| a | b |\n|:--|--:|\n| 1 | 2 |",
        (
            '<table><thead><tr><th class="align-start">a</th><th class="align-end">b</th>'
            '</tr></thead><tbody><tr><td class="align-start">1</td><td class="align-end">2</td>'
            "</tr></tbody></table>"
        ),
    ),
    (
        "a | b\n- | -\n1 \\| 2",
        (
            "<table><thead><tr><th>a</th><th>b</th></tr></thead>"
            "<tbody><tr><td>1 | 2</td><td></td></tr></tbody></table>"
        ),
    ),
    ("a | b\n--- | - | -", "<p>a | b\n--- | - | -</p>"),
    (
        "text\na | b\n- | -",
        "<p>text</p><table><thead><tr><th>a</th><th>b</th></tr></thead><tbody></tbody></table>",
    ),
    ("$5 and $10", "<p>$5 and $10</p>"),
    ("between $5-$10 a day", "<p>between $5-$10 a day</p>"),
    ("US$5 = EUR$4", "<p>US$5 = EUR$4</p>"),
    ("$x^2$ and \\(a\\)", "<p><math>x^2</math> and <math>a</math></p>"),
    ("$$x$$", "<p><math>x</math></p>"),
    ("\\[\na\n\\]", "<p><math>a</math></p>"),
    ("$$\nopen\n\ntext", "<p>$$\nopen</p><p>text</p>"),
    ("`$x^2$`", "<p><code>$x^2$</code></p>"),
    ("<b>a</b>", "<p>&lt;b&gt;a&lt;/b&gt;</p>"),
    ("<!-- a -->", "<p>&lt;!-- a --&gt;</p>"),
    ("a\0b", "<p>a\ufffdb</p>"),
    ("a\u202eb", "<p>a\ufffdb</p>"),
    ("a\r\nb\rc", "<p>a\nb\nc</p>"),
    ("", ""),
    ("\n\n", ""),
]

_ADDRESSES = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\tscript:alert(1)",
    "java\nscript:alert(1)",
    "\x01javascript:alert(1)",
    "javascript&colon;alert(1)",
    "javascript&#58;alert(1)",
    "javascript&#x3a;alert(1)",
    "&#106;avascript:alert(1)",
    "&#x6A;&#x61;vascript:alert(1)",
    "java&#9;script:alert(1)",
    "java&#10;script:alert(1)",
    "\\javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "blob:http://console.test/x",
    "//evil.example/x",
    "/auth/logout",
    "http:/console/x",
    "https:javascript:alert(1)",
    'https://x.org/" onmouseover="alert(1)',
    "https://x.org/' onfocus='alert(1)",
    "https://x.org/`onload=alert(1)`",
]

_FORMS = [
    "[a]({})",
    "[a](<{}>)",
    "![a]({})",
    "<{}>",
    "{}",
    "[a][r]\n\n[r]: {}",
    '[a]({} "title")',
    "[![a]({})](https://x.org)",
    "| a |\n|---|\n| [a]({}) |",
    "- [a]({})",
    "> [a]({})",
    "# [a]({})",
    "[{}](https://x.org)",
    "**[a]({})**",
]

_TEXTS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    "<math><mtext><img src=x onerror=alert(1)></mtext></math>",
    '<math><maction actiontype="statusline" xlink:href="javascript:alert(1)">x</maction></math>',
    "<a href=javascript:alert(1)>x</a>",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "]]><script>alert(1)</script>",
    "<style>*{background:url(https://evil.example)}</style>",
    "<link rel=stylesheet href=https://evil.example>",
    "<base href=https://evil.example>",
    "<form action=https://evil.example><input name=a></form>",
    "<object data=https://evil.example></object>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "\0<scr\0ipt>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\u202e<script>alert(1)</script>",
]

_TEXT_FORMS = [
    "{}",
    "a {} b",
    "**{}**",
    "`{}`",
    "[{}](https://x.org)",
    "![{}](https://x.org)",
    "| a |\n|---|\n| {} |",
    "```\n{}\n```",
    "```{}\ncode\n```",
    "- {}",
    "> {}",
    "# {}",
    "$${}$$",
    "\\({}\\)",
    "- [x] {}",
    '```chart\n{{"title":"{}","labels":["{}"],"series":[{{"name":"{}","values":[1]}}]}}\n```',
]

_FORMULAS = [
    "\\href{javascript:alert(1)}{x}",
    "\\text{<script>alert(1)</script>}",
    "\\unicode{x3c}script\\unicode{x3e}",
    "\\html{<img src=x onerror=alert(1)>}",
    "\\class{x}{y} \\style{background:url(https://evil.example)}{z}",
]


def hostile_texts() -> list[str]:
    """Return every hostile address and text in every place of a Markdown text."""
    texts = [form.format(address) for form in _FORMS for address in _ADDRESSES]
    for form in _TEXT_FORMS:
        texts.extend(
            form.replace("{{", "{").replace("}}", "}").replace("{}", text) for text in _TEXTS
        )
    texts.extend(f"${formula}$ and $${formula}$$" for formula in _FORMULAS)
    return texts


def mixed_texts() -> list[str]:
    """Return pairs of hostile texts and examples, so that one can close what the other opens."""
    hostile = hostile_texts()
    examples = [text for text, _ in EXAMPLES]
    return [
        f"{hostile[index]}\n{examples[index % len(examples)]}{hostile[-index]}"
        for index in range(0, len(hostile), 2)
    ]
