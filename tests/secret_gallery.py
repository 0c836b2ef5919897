"""Secrets as people leave them in source text: every form that must be recognised.

The secrets are made when this is imported, so that no scanner finds one in the file. Each has a
`head` that says of what kind it is and may stay; nothing behind it may.
"""

import base64
import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Planted:
    """A secret and the text around it."""

    name: str
    before: str
    secret: str  # with its head
    head: str = ""
    after: str = ""

    @property
    def text(self) -> str:
        """The whole text."""
        return self.before + self.secret + self.after


def drawn(n_chars: int, seed: str = "seed") -> str:
    """Return letters and digits that look random."""
    digest = b"".join(hashlib.sha512(f"{seed}{i}".encode()).digest() for i in range(6))
    return base64.b64encode(digest).decode().replace("+", "x").replace("/", "y")[:n_chars]


def drawn_hex(n_chars: int, seed: str = "hex") -> str:
    """Return hexadecimal digits that look random."""
    return (hashlib.sha512(seed.encode()).hexdigest() * 2)[:n_chars]


def drawn_capitals(n_chars: int, seed: str = "") -> str:
    """Return letters and digits of base 32 that look random."""
    return base64.b32encode(hashlib.sha512(seed.encode()).digest()).decode()[:n_chars]


def encoded(text: str) -> str:
    """Return base64 of a text."""
    return base64.b64encode(text.encode()).decode()


PEM = (
    f"-----BEGIN EC PRIVATE KEY-----\n{drawn(64)}\n{drawn(64, 'b')}\n-----END EC PRIVATE KEY-----\n"
)
DER = "MIIEpAIBAAKCAQEA" + drawn(240, "der")

# name: (head, the rest); each is planted as a value of a plain name
TOKENS = {
    "AWS key id": ("AKIA", drawn_capitals(16)),
    "GitHub token": ("ghp_", drawn(36)),
    "fine-grained GitHub token": ("github_pat_", f"{drawn(22)}_{drawn(59, 'b')}"),
    "GitLab token": ("glpat-", drawn(20)),
    "Slack token": ("xoxb-", "123456789012-" + drawn(24)),
    "Google key": ("AIza", drawn(35)),
    "Google access token": ("ya29.", drawn(120)),
    "Stripe key": ("sk_live_", drawn(24)),
    "Anthropic key": ("sk-ant-", "api03-" + drawn(95)),
    "OpenAI key": ("sk-proj-", drawn(60)),
    "Hugging Face token": ("hf_", drawn(34, "hf")),
    "PyPI token": ("pypi-", "AgEIcHlwaS5vcmc" + drawn(80)),
    "npm token": ("npm_", drawn(36)),
    "Docker token": ("dckr_pat_", drawn(27)),
    "DigitalOcean token": ("dop_v1_", drawn_hex(64)),
    "Shopify token": ("shpat_", drawn_hex(32)),
    "SendGrid key": ("SG.", f"{drawn(22)}.{drawn(43, 's')}"),
    "Vault token": ("hvs.", drawn(90)),
    "Databricks token": ("dapi", drawn_hex(32)),
    "Linear key": ("lin_api_", drawn(40)),
    "age key": ("AGE-SECRET-KEY-1", drawn_capitals(58)),
    "JWT": ("eyJ", f"{drawn(20)}.eyJ{drawn(30)}.{drawn(43)}"),
}
KEY, HEX = drawn(32, "key"), drawn_hex(40)
PASSWORD, WORDS = "Hw7!kq2x" + "Zp", "kQ9#vT2m" + "-sB4"
ALNUM = "b7Kq2xW9" + "rT4m"
BASIC = encoded(f"admin:{PASSWORD}")

# name: (before, secret, after)
FORMS: dict[str, tuple[str, str, str]] = {
    "assigned": ('api_key = "', KEY, '"\n'),
    "assigned hex": ("SECRET_KEY = '", HEX, "'\n"),
    "assigned password": ('password = "', PASSWORD, '"\n'),
    "assigned password of letters and digits": ('password = "', ALNUM, '"\n'),
    "typed in Rust": ('let api_key: &str = "', KEY, '";\n'),
    "typed in TypeScript": ('  private readonly apiKey: string = "', KEY, '";\n'),
    "array in C": ('char password[] = "', PASSWORD, '";\n'),
    "pointer in C": ('static const char *token = "', KEY, '";\n'),
    "constant in Go": ('const dbPassword = "', PASSWORD, '"\n'),
    "field in Go": ('\tPassword: "', PASSWORD, '",\n'),
    "subscript": ('os.environ["ACCESS_TOKEN"] = "', KEY, '"\n'),
    "keyword argument": ('connect(host="db", password="', PASSWORD, '")\n'),
    "JSON": ('{"client_secret": "', KEY, '"}\n'),
    "compared": ('if token == "', KEY, '" {\n'),
    "name of another key": ('STRIPE_KEY = "', KEY, '"\n'),
    "camel case key": ("  stripeKey: '", KEY, "',\n"),
    "Authorization in a table": ('headers = {"Authorization": "Bearer ', KEY, '"}\n'),
    "Authorization, basic": ('h = "Authorization: Basic ', BASIC, '"\n'),
    "Authorization in curl": ('curl -H "Authorization: token ', HEX, '" https://api.test\n'),
    "Authorization in Go": ('req.Header.Set("Authorization", "Bearer ', KEY, '")\n'),
    "Authorization without scheme": ("authorization: '", KEY, "',\n"),
    "header of a key": ('session.headers["X-Api-Key"] = "', KEY, '"\n'),
    "bearer in a template": ("const h = `Bearer ", KEY, "`;\n"),
    "pair of user and password": ('requests.get(url, auth=("admin", "', PASSWORD, '"))\n'),
    "default of environ.get": ('os.environ.get("DB_PASSWORD", "', PASSWORD, '")\n'),
    "default of getenv": ('os.getenv("API_TOKEN", "', KEY, '")\n'),
    "default by or": ('token = os.getenv("API_TOKEN") or "', KEY, '"\n'),
    "default by ||": ('const k = process.env.API_KEY || "', KEY, '";\n'),
    "default by ??": ("const k = process.env.API_SECRET ?? '", KEY, "';\n"),
    "default of argparse": ('parser.add_argument("--token", default="', KEY, '")\n'),
    "default of argparse on lines": (
        'parser.add_argument(\n    "--password",\n    default="',
        PASSWORD,
        '",\n)\n',
    ),
    "default of click": ('@click.option("--password", default="', PASSWORD, '")\n'),
    "default in a shell": ("PGPASSWORD=${DB_PASSWORD:-", ALNUM, "}\n"),
    "default in Spring": ('@Value("${db.password:', ALNUM, '}")\n'),
    "setter": ('client.set_password("', PASSWORD, '")\n'),
    "setter in Java": ('dataSource.setPassword("', PASSWORD, '");\n'),
    "builder": ('builder.withApiKey("', KEY, '").build();\n'),
    "setter of a secret": ("config.setSecret('", KEY, "');\n"),
    "#define": ('#define API_KEY "', KEY, '"\n'),
    "#define of a password": ('#define DB_PASSWORD "', PASSWORD, '"\n'),
    "on the next line": ('password = \\\n    "', PASSWORD, '"\n'),
    "in brackets on the next line": ('API_TOKEN = (\n    "', KEY, '"\n)\n'),
    "on the next line in JavaScript": ('const token =\n  "', KEY, '";\n'),
    "docstring": ('"""Log in as admin; the password is ', PASSWORD, '."""\n'),
    "comment": ("# api key: ", KEY, "\n"),
    "comment of an assignment": ("// token=", KEY, "\n"),
    "block comment": ("/* staging password: ", PASSWORD, " */\n"),
    "prose": ("    Use the token ", HEX, " on the staging host.\n"),
    "positional": ('client = Client("acme", "', KEY, '")\n'),
    "positional behind a key id": (
        f'boto3.client("s3", "AKIA{drawn_capitals(16, "x")}", "',
        drawn(40, "aws"),
        '")\n',
    ),
    "login": ('smtp.login("admin", "', PASSWORD, '")\n'),
    "HTTPBasicAuth": ('auth = HTTPBasicAuth("user", "', PASSWORD, '")\n'),
    "YAML": ("db:\n  password: ", PASSWORD, "\n  port: 1\n"),
    "YAML key": ("  api_key: ", KEY, "\n"),
    "YAML list": ("  - token: ", HEX, "\n"),
    "export": ("export API_TOKEN=", KEY, "\n"),
    "export of a password": ("export DB_PASS=", PASSWORD, "\n"),
    "shell variable": ("API_KEY=", KEY, "\n"),
    "quoted export": ('export DB_PASSWORD="', PASSWORD, '"\n'),
    "Dockerfile": ("ENV SECRET_KEY=", KEY, "\n"),
    "Dockerfile without sign": ("ENV DB_PASSWORD ", PASSWORD, "\n"),
    "PowerShell": ('$env:API_KEY = "', KEY, '"\n'),
    "compiler option": ("cc -DAPI_KEY=", KEY, " main.c\n"),
    "option": ("tool --password ", PASSWORD, " --verbose\n"),
    "option with sign": ("tool --token=", KEY, " run\n"),
    "properties": ("spring.datasource.password=", PASSWORD, "\n"),
    "netrc": ("machine api.test login me password ", PASSWORD, "\n"),
    "npmrc": ("//registry.test/:_authToken=", KEY, "\n"),
    "attribute": ('<user name="me" password="', PASSWORD, '"/>\n'),
    "element": ("<password>", PASSWORD, "</password>\n"),
    "SQL": ("CREATE USER me WITH PASSWORD '", PASSWORD, "';\n"),
    "SQL, identified by": ("CREATE USER me IDENTIFIED BY '", PASSWORD, "';\n"),
    "curl user": ("curl -u admin:", PASSWORD, " https://api.test\n"),
    "sshpass": ("sshpass -p ", PASSWORD, " ssh host\n"),
    "list": ('PASSWORDS = ["', PASSWORD, '", "x"]\n'),
    "query": ("url = 'https://api.test/x?access_token=", KEY, "&page=1'\n"),
    "query of a key": ("fetch('https://api.test/x?api_key=", HEX, "')\n"),
    "kubeconfig token": ("users:\n- name: me\n  user:\n    token: ", KEY, "\n"),
    "kubeconfig key": ("    client-key-data: ", encoded(PEM), "\n"),
    "k8s data": (
        "kind: Secret\nmetadata:\n  name: db\ndata:\n  password: ",
        encoded(PASSWORD),
        "\n",
    ),
    "k8s data of any name": ("kind: Secret\ntype: Opaque\ndata:\n  dsn: ", encoded(ALNUM), "\n"),
    "k8s stringData": ("kind: Secret\nstringData:\n  DB: ", WORDS, "\n---\nkind: Pod\n"),
    "Docker login": ('{"auths": {"r.test": {"auth": "', BASIC, '"}}}\n'),
    "SQL Server": ('"Server=db;User Id=sa;Password=', PASSWORD, ';Encrypt=yes"\n'),
    "short Pwd": ('"Driver={x};Uid=sa;Pwd=', ALNUM, ';"\n'),
    "libpq": ('"host=db user=me password=', PASSWORD, ' dbname=x"\n'),
    "JDBC": ('"jdbc:mysql://h/db?user=me&password=', ALNUM, '"\n'),
    "PostgreSQL address": ('"postgresql://me:', PASSWORD, '@db.test/app"\n'),
    "MongoDB address": ('"mongodb+srv://me:', ALNUM, '@c0.test/app"\n'),
    "Redis address": ('"redis://:', ALNUM, '@cache.test:6379/0"\n'),
    "MySQL in Go": ('"root:', ALNUM, '@tcp(db.test:3306)/app"\n'),
    "Azure storage": ('"AccountName=a;AccountKey=', drawn(86) + "==", ';X=1"\n'),
    "Azure bus": ('"Endpoint=sb://x;SharedAccessKey=', drawn(43) + "=", '"\n'),
    "AWS secret": ("aws_secret_access_key = ", drawn(40), "\n"),
    "private key": ('KEY = """-----BEGIN RSA PRIVATE KEY-----\n', drawn(64), '\n"""\n'),
    "base64 of a private key": ('KEY_B64 = "', encoded(PEM), '"\n'),
    "base64 of a token": ('x = "', encoded("ghp_" + drawn(36)), '"\n'),
    "private key without frame": ('data = b64decode("', DER, '")\n'),
    "Slack hook": ('url = "https://hooks.slack.com/services/', f"T0123A/B0123A/{drawn(24)}", '"\n'),
    "Discord hook": ('"https://d.test/api/webhooks/', "12345678901234567/" + drawn(68), '"\n'),
    "Telegram token": ('bot = Bot("', "123456789:AA" + drawn(33), '")\n'),
    "Mailgun key": ('x = "key-', drawn_hex(32), '"\n'),
    "Mailchimp key": ('MAILCHIMP_KEY = "', drawn_hex(32, "mc"), '-us12"\n'),
}

# 2026-11-30: 40 of these reached an index or a server, and 47 did in part while they were typed.
SEED, POINT = drawn_capitals(32, "otp"), drawn(43, "point")
FORMS |= {
    "key of a hash": ('digest = hmac.new(b"', KEY, '", body, "sha256")\n'),
    "key of a hash in JavaScript": ("crypto.createHmac('sha256', '", KEY, "').update(x)\n"),
    "key of a hash in Java": ('Algorithm.HMAC256("', KEY, '");\n'),
    "key of a signature": ("jwt.sign(payload, '", KEY, "', { expiresIn: '1h' })\n"),
    "key of a cipher": ('block, _ := aes.NewCipher([]byte("', KEY, '"))\n'),
    "key of a box": ('box = Fernet(b"', drawn(43, "box") + "=", '")\n'),
    "seed of one-time passwords": ('pyotp.TOTP("', SEED, '").now()\n'),
    "short name of a password": ('pw = "', PASSWORD, '"\n'),
    "one word with pass": ('dbpass = "', PASSWORD, '"\n'),
    "pass in JavaScript": ("auth: { user: 'a', pass: '", PASSWORD, "' },\n"),
    "pass in a list of settings": ("[db]\npass = ", PASSWORD, "\n"),
    "passcode": ('passcode = "', PASSWORD, '"\n'),
    "password in Spanish": ('contrasena = "', PASSWORD, '"\n'),
    "password in Chinese": ("# \u5bc6\u7801\uff1a", PASSWORD, "\n"),
    "cookie": ('headers = {"Cookie": "sessionid=', KEY, '"}\n'),
    "key of a query": ('fetch("https://maps.test/v1?key=', KEY, '")\n'),
    "end of a chain": (
        'let t = env::var("API_TOKEN")\n    .unwrap_or_else(|_| "',
        KEY,
        '".to_string());\n',
    ),
    "lifetime in the type": ("const API_KEY: &'static str = \"", KEY, '";\n'),
    "connection in Java": ('DriverManager.getConnection(url, "sa", "', PASSWORD, '");\n'),
    "connection in C": ('mysql_real_connect(c, "host", "me", "', PASSWORD, '", "db", 0);\n'),
    "wireless network": ('WiFi.begin("home", "', PASSWORD, '");\n'),
    "YAML, folded": ("password: >-\n  ", PASSWORD, "\nother: 1\n"),
    "YAML, literal": ("token: |\n  ", KEY, "\nother: 1\n"),
    "environment of a container": ('- name: DB_PASSWORD\n  value: "', PASSWORD, '"\n'),
    "environment without quotes": ("- name: API_TOKEN\n  value: ", KEY, "\n"),
    "variable of Terraform": (
        'variable "db_password" {\n  type    = string\n  default = "',
        PASSWORD,
        '"\n}\n',
    ),
    "option of mysql": ("mysql -u root -p", PASSWORD, " db\n"),
    "option of a login": ("docker login -u me -p ", PASSWORD, " r.test\n"),
    "option of redis-cli": ("redis-cli -h h -a ", ALNUM, " ping\n"),
    "option of openssl": ("openssl enc -aes-256-cbc -pass ", "pass:" + PASSWORD, " -in a\n"),
    "JSON of curl": (
        'curl -d \'{"user":"a","password":"',
        PASSWORD,
        "\"}' https://a.test\n",
    ),
    "variable of make": ("API_TOKEN ?= ", KEY, "\n"),
    "address of Oracle": ('url = "jdbc:oracle:thin:scott/', PASSWORD, '@h:1521:x"\n'),
    "token for a user": ("git clone https://", drawn(40, "user"), "@git.test/a/b.git\n"),
    "signed address": ('"https://b.test/x?X-Amz-Signature=', drawn_hex(64, "sig"), '"\n'),
    "shared key of WireGuard": ("PresharedKey = ", drawn(43, "wg") + "=", "\n"),
    "web key": ('{"kty": "oct", "k": "', POINT, '"}\n'),
    "web key of a curve": ('{"kty":"EC","crv":"P-256","d":"', POINT, '"}\n'),
    "key of OpenVPN": (
        "-----BEGIN OpenVPN Static key V1-----\n",
        drawn_hex(32, "v1") + "\n" + drawn_hex(32, "v2"),
        "\n-----END OpenVPN Static key V1-----\n",
    ),
    "key of PuTTY": (
        "Private-Lines: 2\n",
        drawn(64, "p1") + "\n" + drawn(40, "p2"),
        "\nPrivate-MAC: 0\n",
    ),
    "key of SSH2": (
        "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\n",
        drawn(64, "s1") + "\n" + drawn(64, "s2"),
        "\n---- END SSH2 ENCRYPTED PRIVATE KEY ----\n",
    ),
    "private key with headers": (
        "-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: AES-128-CBC,AB\n\n",
        drawn(64, "e1") + "\n" + drawn(64, "e2"),
        "\n-----END RSA PRIVATE KEY-----\n",
    ),
    "escaped JSON": (
        'body = "{\\"user\\": \\"a\\", \\"password\\": \\"',
        PASSWORD,
        '\\"}"\n',
    ),
    "literal of a document": ("The default password is ``", PASSWORD, "``.\n"),
}

# What of a form's secret only says of what kind it is, or is known to everybody.
HEADS = {
    "base64 of a private key": encoded(PEM[:30])[:40],
    "kubeconfig key": encoded(PEM[:30])[:40],
    "base64 of a token": encoded("ghp_")[:5],
    "private key without frame": DER[:16],
    "Discord hook": "12345678901234567/",
    "Telegram token": "123456789:",
    "option of openssl": "pass:",
    "token for a user": drawn(40, "user")[:14],  # until then it may be a host's name
}

GALLERY = (
    *(
        Planted(name=name, before='value = "', secret=head + rest, head=head, after='"\n')
        for name, (head, rest) in TOKENS.items()
    ),
    *(
        Planted(name=name, before=before, secret=secret, head=HEADS.get(name, ""), after=after)
        for name, (before, secret, after) in FORMS.items()
    ),
)


def leaked(item: Planted, text: str, plain: str = "", n_chars: int = 5) -> list[str]:
    """Return which pieces of a secret's body are in a text, and not in `plain` either."""
    body = item.secret[len(item.head) :]
    plain += item.before + item.head + item.after
    pieces = {body[at : at + n_chars] for at in range(len(body) - n_chars + 1)}
    return sorted(piece for piece in pieces if piece in text and piece not in plain)


def code(item: Planted, secret: str | None = None) -> str:
    """Return a file that holds a secret, or as much of it as is typed."""
    text = item.text if secret is None else item.before + secret + item.after
    return f"import os\n\n\ndef first():\n    return 1\n\n\n{text}\n\ndef last():\n    pass\n"
