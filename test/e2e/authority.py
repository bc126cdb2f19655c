"""authority: certificates for a test, made by openssl in a directory that goes away with it."""
import pathlib
import shutil
import subprocess
import tempfile


class Authority:
    def __init__(self, name='Test authority'):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix='tidewire-ca-'))
        self.directory.chmod(0o755)
        (self.directory / 'index.txt').touch()
        (self.directory / 'serial').write_text('1000\n')
        (self.directory / 'crlnumber').write_text('01\n')
        (self.directory / 'ca.conf').write_text(
            '[ca]\ndefault_ca=d\n[d]\ndir=.\ndatabase=index.txt\nserial=serial\ncrlnumber=crlnumber\nnew_certs_dir=.\ndefault_md=sha256\n'
            'policy=p\nunique_subject=no\ncertificate=ca.pem\nprivate_key=ca.key\ndefault_crl_days=30\ndefault_days=30\n[p]\ncommonName=optional\norganizationName=optional\n')
        self.run('req', '-x509', *self.new_key('ca'), '-out', 'ca.pem', '-days', '30', '-subj', f'/CN={name}')
        self.revoke()

    def run(self, *arguments):
        done = subprocess.run(['openssl', *arguments], cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, f'openssl {" ".join(arguments)}:\n{done.stdout}'
        return done.stdout

    @staticmethod
    def new_key(name, rsa=False):
        kind = ['-newkey', 'rsa:2048'] if rsa else ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']
        return [*kind, '-nodes', '-keyout', f'{name}.key']

    def issue(self, name, subject, extension='', start='', end='', rsa=False):
        """NAME.pem and NAME.key; the paths of both."""
        (self.directory / f'{name}.ext').write_text(f'basicConstraints=CA:FALSE\n{extension}\n')
        self.run('req', *self.new_key(name, rsa), '-out', f'{name}.csr', '-subj', subject)
        dates = (['-startdate', start] if start else []) + (['-enddate', end] if end else [])
        self.run('ca', '-batch', '-notext', '-config', 'ca.conf', '-in', f'{name}.csr', '-out', f'{name}.pem', '-extfile', f'{name}.ext', *dates)
        return self.path(f'{name}.pem'), self.path(f'{name}.key')

    def issue_server(self, name='server', **more):
        return self.issue(name, '/CN=localhost', 'subjectAltName=DNS:localhost,IP:127.0.0.1', **more)

    def revoke(self, name=None):
        """crl.pem, with this one in it too."""
        if name:
            self.run('ca', '-config', 'ca.conf', '-revoke', f'{name}.pem')
        self.run('ca', '-config', 'ca.conf', '-gencrl', '-out', 'crl.pem')

    def path(self, name):
        return str(self.directory / name)

    def close(self):
        shutil.rmtree(self.directory, ignore_errors=True)
