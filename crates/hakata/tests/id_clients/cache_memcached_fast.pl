# The text protocol as Cache::Memcached::Fast speaks it: cache_memcached_fast.pl HOST:PORT
use strict;
use warnings;
use Cache::Memcached::Fast;

my ($address) = @ARGV;
my %seen;

# Checks that a value is an id that never came before.
sub take {
    my ($value, $what) = @_;
    defined $value && $value =~ /^[1-9][0-9]*$/ or die "$what gave " . ($value // 'undef');
    $seen{$value}++ and die "$value came twice";
}

my $client = Cache::Memcached::Fast->new({ servers => [$address], connect_timeout => 10, io_timeout => 10 });
take($client->get('key'), 'get') for 1 .. 10;

my $many = $client->get_multi('a', 'b', 'c');
keys %$many == 3 or die 'get_multi of three keys gave ' . keys %$many;
take($_, 'get_multi') for values %$many;

my $one = $client->gets('key') // die 'gets gave undef';
$one->[0] =~ /^[0-9]+$/ or die "the CAS token is $one->[0]";
take($one->[1], 'gets');
my $several = $client->gets_multi('a', 'b');
take($_->[1], 'gets_multi') for values %$several;

my ($version) = values %{ $client->server_versions };
$version =~ /^[0-9]+\.[0-9]+\.[0-9]+/ or die 'the version is ' . ($version // 'undef');

# An id server stores nothing, and stays in step.
!$client->set('key', "get smuggled\r\nget smuggled") or die 'set stored something';
take($client->get('key'), 'get after set');
!$client->incr('key', 1) or die 'incr counted something';
take($client->get('key'), 'get after incr');
!$client->delete('key') or die 'delete removed something';
take($client->get('key'), 'get after delete');

# Without waiting for replies.
$client->set("key$_", 'value') for 1 .. 5;
$client->nowait_push;
take($client->get('key'), 'get after sets');
$client->disconnect_all;
take($client->get('key'), 'get after disconnecting');
print scalar(keys %seen), " ids, each once\n";
